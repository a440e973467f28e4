"""Prints the control file of the Debian package: its needs of ROS 2 are in package.xml, the node's and its messages'.

The packages of ROS 2 for Debian and Ubuntu are named ros-DISTRIBUTION-NAME, with - in the place of _.
"""

import argparse
import re
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path

# It comes with the package.
OWN = {"pi0_interfaces"}


def ros_dependencies(package_xmls, distribution):
    """The Debian packages that these packages need to run, each once, in their order."""
    roots = [ElementTree.parse(path).getroot() for path in package_xmls]
    names = [element.text for root in roots for tag in ("depend", "exec_depend") for element in root.iter(tag)]
    return [f"ros-{distribution}-{name.replace('_', '-')}" for name in dict.fromkeys(names) if name not in OWN]


def newest_glibc(symbols):
    """The newest version of glibc that the symbols ask for, as "2.34"; symbols: objdump -T's text."""
    versions = {tuple(int(part) for part in match) for match in re.findall(r"GLIBC_(\d+)\.(\d+)", symbols)}
    if not versions:
        raise SystemExit("debian_control: no program asks for glibc; were programs given?")
    return ".".join(str(part) for part in max(versions))


def control(package_xmls, version, architecture, distribution, glibc):
    """The control file. package_xmls: the node's, and those of the packages that come with it."""
    root = ElementTree.parse(package_xmls[0]).getroot()
    dependencies = [f"libc6 (>= {glibc})", "libgcc-s1", *ros_dependencies(package_xmls, distribution)]
    maintainer = root.find("maintainer")
    return "\n".join(
        [
            f"Package: pi0-node-{distribution}",
            f"Version: {version}",
            f"Architecture: {architecture}",
            f"Maintainer: {maintainer.text} <{maintainer.get('email')}>",
            f"Depends: {', '.join(dependencies)}",
            "Section: misc",
            "Priority: optional",
            f"Description: {root.findtext('description')}",
            " Installed in /opt/pi0_node; source its setup.bash after that of ROS 2.",
            "",
        ]
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--package-xml", type=Path, required=True, action="append", help="the node's first")
    parser.add_argument("--version", required=True)
    parser.add_argument("--architecture", required=True)
    parser.add_argument("--distribution", required=True)
    parser.add_argument("programs", type=Path, nargs="+")
    arguments = parser.parse_args()
    symbols = subprocess.run(["objdump", "-T", *arguments.programs], check=True, capture_output=True, text=True).stdout
    print(
        control(
            arguments.package_xml,
            arguments.version,
            arguments.architecture,
            arguments.distribution,
            newest_glibc(symbols),
        ),
        end="",
    )


if __name__ == "__main__":
    main()
