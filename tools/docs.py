#!/usr/bin/env python3
"""Checks the links of the documentation and prepares its site. Needs nothing but Python.

docs.py check             every relative link, anchor and path of a source file in the Markdown files of the checkout
docs.py stage FOLDER      the pages of docs/SUMMARY.md and all files that they link to, as mdBook's source
docs.py check-site FOLDER every relative link and anchor of the built site

Each problem is a line; with one or more the exit status is 1.
"""

import argparse
import os
import re
import shutil
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

CHECKOUT = Path(__file__).resolve().parent.parent
SUMMARY = Path("docs/SUMMARY.md")
FENCE = re.compile(r"^ {0,3}(```|~~~)")
CODE = re.compile(r"`[^`]*`")
LINK = re.compile(r"(!?\[(?:[^\[\]]|\[[^\]]*\]|!\[[^\]]*\]\([^)]*\))*\]\()([^()\s]+)(\))")
# A file or folder of the sources, named in code; other projects have folders like these under other names.
SOURCE = re.compile(r"`((?:src|tests|tools|sim|launch|kernels|crates)/[\w./-]*)`")
HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*$")
EXTERNAL = re.compile(r"^[a-z][a-z0-9+.-]*:", re.IGNORECASE)
# mdBook's own page for addresses that do not exist has links from the root of a server.
NOT_CHECKED = {"404.html"}


def text_lines(text: str) -> Iterator[tuple[int, str]]:
    """Number and text of each line outside of fenced code."""
    is_code = False
    for number, line in enumerate(text.splitlines(), start=1):
        if FENCE.match(line):
            is_code = not is_code
        elif not is_code:
            yield number, line


def links(text: str) -> Iterator[tuple[int, str]]:
    """Line number and target of each relative link and image."""
    for number, line in text_lines(text):
        for found in LINK.finditer(CODE.sub("``", line)):
            if not EXTERNAL.match(found[2]):
                yield number, found[2]


def slug(heading: str) -> str:
    """The anchor that GitHub and mdBook give a heading."""
    plain = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")


def anchors(text: str) -> set[str]:
    found: set[str] = set()
    for _, line in text_lines(text):
        if heading := HEADING.match(line):
            name, repeated = slug(heading[1]), 0
            while (anchor := f"{name}-{repeated}" if repeated else name) in found:
                repeated += 1
            found.add(anchor)
    return found


def markdown_files(checkout: Path) -> list[Path]:
    """Every Markdown file of the project, relative to the checkout."""
    found = []
    for folder, folders, files in os.walk(checkout):
        folders[:] = [name for name in folders if not name.startswith(".") and name != "target"]
        found += [Path(folder, name).relative_to(checkout) for name in files if name.endswith(".md")]
    return sorted(found)


def resolve(checkout: Path, page: Path, target: str) -> Path:
    """The file that a page links to, relative to the checkout. Raises ValueError where it is outside of it."""
    path = unquote(target.partition("#")[0])
    file = (checkout / page.parent / path).resolve() if path else checkout / page
    return file.relative_to(checkout)


def pages(checkout: Path) -> list[Path]:
    """The pages of the site in their order, relative to the checkout."""
    return [resolve(checkout, SUMMARY, target) for _, target in links((checkout / SUMMARY).read_text())]


def problems(checkout: Path) -> Iterator[str]:
    """What is wrong with the links of the Markdown files."""
    site = pages(checkout) if (checkout / SUMMARY).is_file() else []
    for page in markdown_files(checkout):
        if page.parent == SUMMARY.parent and page != SUMMARY and page not in site:
            yield f"{page}: not in {SUMMARY}"
        text = (checkout / page).read_text()
        for number, line in text_lines(text):
            for path in SOURCE.findall(line):
                if not (checkout / path).exists():
                    yield f"{page}:{number}: {path} does not exist"
        for number, target in links(text):
            try:
                file = resolve(checkout, page, target)
            except ValueError:
                yield f"{page}:{number}: {target} is outside of the checkout"
                continue
            anchor = unquote(target.partition("#")[2])
            if not (checkout / file).exists():
                yield f"{page}:{number}: {target} does not exist"
            elif page in site and not (checkout / file).is_file():
                yield f"{page}:{number}: {target} is a folder, which the site does not have"
            elif page in site and file.suffix == ".md" and file not in site:
                yield f"{page}:{number}: {target} is not in {SUMMARY}"
            elif anchor and file.suffix == ".md" and anchor not in anchors((checkout / file).read_text()):
                yield f"{page}:{number}: {target}: no such heading"


def stage(checkout: Path, folder: Path) -> None:
    """Copies pages and linked files; they keep their places, so that links between them stay as they are."""

    def index(target: str) -> str:
        # mdBook makes index.html of README.md, but does not change links to it.
        return re.sub(r"(^|/)README\.md(?=#|$)", r"\1index.md", target)

    def staged(text: str) -> str:
        return LINK.sub(lambda found: found[1] + index(found[2]) + found[3], text)

    shutil.rmtree(folder, ignore_errors=True)
    for page in pages(checkout):
        text = (checkout / page).read_text()
        copy = folder / index(page.as_posix())
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(staged(text))
        for _, target in links(text):
            file = resolve(checkout, page, target)
            if file.suffix != ".md":
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(checkout / file, folder / file)

    def from_root(found: re.Match) -> str:
        return found[1] + index(resolve(checkout, SUMMARY, found[2]).as_posix()) + found[3]

    (folder / SUMMARY.name).write_text(LINK.sub(from_root, (checkout / SUMMARY).read_text()))


class Page(HTMLParser):
    """Links and anchors of a page of the site."""

    def __init__(self, text: str):
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            if value and name in ("href", "src") and not EXTERNAL.match(value):
                self.links.append(value)
            elif value and name in ("id", "name"):
                self.anchors.add(value)


def site_problems(folder: Path) -> Iterator[str]:
    """What is wrong with the links of the built site."""
    site = {path.resolve(): Page(path.read_text()) for path in sorted(folder.rglob("*.html"))}
    for path, page in site.items():
        if path.name in NOT_CHECKED:
            continue
        for link in page.links:
            target, _, anchor = unquote(link).partition("#")
            file = (path.parent / target).resolve() if target else path
            if not file.is_file():
                yield f"{path.relative_to(folder.resolve())}: {link} does not exist"
            elif anchor and file in site and anchor not in site[file].anchors:
                yield f"{path.relative_to(folder.resolve())}: {link}: no such anchor"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=["check", "stage", "check-site"])
    parser.add_argument("folder", type=Path, nargs="?", help="where the source is staged, or the built site is")
    parser.add_argument("--checkout", type=Path, default=CHECKOUT, help="the project's folder")
    arguments = parser.parse_args()
    if (arguments.task == "check") != (arguments.folder is None):
        parser.error("stage and check-site take a folder, check takes none")
    checkout = arguments.checkout.resolve()
    if arguments.task == "stage":
        stage(checkout, arguments.folder)
        return 0
    found = list(site_problems(arguments.folder) if arguments.task == "check-site" else problems(checkout))
    print("\n".join(found), file=sys.stderr, end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
