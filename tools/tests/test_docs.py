"""The check of the documentation's links finds what is wrong, and the site's source keeps links as they are."""

import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs.py"


def run(checkout: Path, *arguments: str | Path) -> tuple[int, str]:
    command = [sys.executable, DOCS, *arguments, "--checkout", checkout]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A project with a page, an introduction and a picture, whose links are right."""
    (tmp_path / "docs/images").mkdir(parents=True)
    (tmp_path / "docs/images/a.svg").write_text("<svg/>")
    (tmp_path / "docs/SUMMARY.md").write_text("# Summary\n\n[Introduction](../README.md)\n- [A page](page.md)\n")
    (tmp_path / "docs/page.md").write_text(
        "# A page\n## What `x_t` is, again\n![a](images/a.svg) [home](../README.md#the-project)\n"
    )
    (tmp_path / "README.md").write_text(
        "# The project\n[x_t](docs/page.md#what-x_t-is-again) [web](https://example.org)\n"
    )
    return tmp_path


def test_right_links_pass(checkout):
    assert run(checkout, "check") == (0, "")


@pytest.mark.parametrize(
    ("link", "problem"),
    [
        ("[a](missing.md)", "docs/page.md:1: missing.md does not exist"),
        ("![a](images/missing.svg)", "docs/page.md:1: images/missing.svg does not exist"),
        ("[a](#nowhere)", "docs/page.md:1: #nowhere: no such heading"),
        ("[a](../README.md#nowhere)", "docs/page.md:1: ../README.md#nowhere: no such heading"),
        ("[a](images)", "docs/page.md:1: images is a folder, which the site does not have"),
        ("[a](../sim/README.md)", "docs/page.md:1: ../sim/README.md is not in docs/SUMMARY.md"),
        ("[a](../../elsewhere.md)", "docs/page.md:1: ../../elsewhere.md is outside of the checkout"),
    ],
)
def test_a_wrong_link_is_found_with_its_line(checkout, link, problem):
    (checkout / "sim").mkdir()
    (checkout / "sim/README.md").write_text("# Not a page of the site\n")
    (checkout / "docs/page.md").write_text(f"{link}\n# What `x_t` is, again\n")
    assert run(checkout, "check") == (1, problem)


def test_a_source_file_that_does_not_exist_is_found_with_its_line(checkout):
    with (checkout / "docs/page.md").open("a") as page:
        page.write("`docs/page.md` is here, `src/gone.rs` is not, and `other/src/gone.rs` is of another project\n")
    assert run(checkout, "check") == (1, "docs/page.md:4: src/gone.rs does not exist")


def test_code_is_not_checked(checkout):
    with (checkout / "docs/page.md").open("a") as page:
        page.write("`[a](missing.md)`\n```\n[a](missing.md)\n# no heading\n```\n")
    assert run(checkout, "check") == (0, "")


def test_a_page_that_the_site_lacks_is_found(checkout):
    (checkout / "docs/forgotten.md").write_text("# Forgotten\n")
    assert run(checkout, "check") == (1, "docs/forgotten.md: not in docs/SUMMARY.md")


def test_the_staged_source_has_the_pages_and_what_they_link_to(checkout, tmp_path):
    source = tmp_path / "target/source"
    assert run(checkout, "stage", source) == (0, "")
    assert (source / "SUMMARY.md").read_text() == "# Summary\n\n[Introduction](index.md)\n- [A page](docs/page.md)\n"
    assert "(../index.md#the-project)" in (source / "docs/page.md").read_text()
    assert (source / "docs/images/a.svg").is_file()
    assert (source / "index.md").is_file()


def test_wrong_links_of_the_built_site_are_found(checkout, tmp_path):
    site = tmp_path / "target/site"
    site.mkdir(parents=True)
    (site / "a.html").write_text('<h1 id="top"></h1><a href="b.html#top"></a><a href="#top"></a><img src="c.svg">')
    (site / "b.html").write_text("<h1></h1>")
    code, problems = run(checkout, "check-site", site)
    assert (code, problems.splitlines()) == (1, ["a.html: b.html#top: no such anchor", "a.html: c.svg does not exist"])
