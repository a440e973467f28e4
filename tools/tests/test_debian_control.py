"""The control file of the Debian package."""

import subprocess

import pytest

from pi0_tools import CHECKOUT
from pi0_tools.debian_control import control, newest_glibc, ros_dependencies

PACKAGE_XMLS = [CHECKOUT / "package.xml", CHECKOUT / "pi0_interfaces/package.xml"]


def test_what_package_xml_needs_to_run_is_named_as_ros_s_debian_packages_are():
    dependencies = ros_dependencies(PACKAGE_XMLS, "jazzy")
    assert "ros-jazzy-trajectory-msgs" in dependencies
    assert "ros-jazzy-launch-ros" in dependencies
    # Of the messages that come with the node.
    assert "ros-jazzy-rosidl-default-runtime" in dependencies
    assert len(dependencies) == len(set(dependencies))
    # They come with the package, or are needed to build alone.
    assert not [name for name in dependencies if "pi0" in name or "clang" in name]


def test_the_newest_glibc_is_compared_by_number():
    symbols = "0 DF *UND* 0 (GLIBC_2.4) pow\n0 DF *UND* 0 (GLIBC_2.34) dlsym\n0 DF *UND* 0 (GLIBC_2.17) clock_gettime\n"
    assert newest_glibc(symbols) == "2.34"


def test_a_text_without_symbols_is_refused():
    with pytest.raises(SystemExit, match="were programs given"):
        newest_glibc("")


def test_dpkg_accepts_the_control_file(tmp_path):
    folder = tmp_path / "stage/DEBIAN"
    folder.mkdir(parents=True)
    (folder / "control").write_text(control(PACKAGE_XMLS, "0.1.0", "amd64", "jazzy", "2.34"), encoding="utf-8")
    package = tmp_path / "package.deb"
    run = ["dpkg-deb", "--root-owner-group", "--build", tmp_path / "stage", package]
    subprocess.run(run, check=True, capture_output=True)
    shown = subprocess.run(["dpkg-deb", "--field", package], check=True, capture_output=True, text=True).stdout
    assert "Package: pi0-node-jazzy" in shown
    assert "libc6 (>= 2.34), libgcc-s1, ros-jazzy-action-msgs" in shown
