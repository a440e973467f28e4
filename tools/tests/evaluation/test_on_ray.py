import sys

from pi0_tools.evaluation import on_ray


def test_every_folder_with_a_bag_in_it_is_one_bag(tmp_path):
    for file in ("a/metadata.yaml", "a/a_0.mcap", "a/a_1.mcap", "day/b/b_0.db3.zstd", "day/notes.txt"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    assert on_ray.find_bags(tmp_path) == [tmp_path / "a", tmp_path / "day/b"]


def test_what_comes_after_two_dashes_goes_to_the_program():
    assert on_ray.split_arguments(["bags", "--", "--seed", "1"]) == (["bags"], ["--seed", "1"])
    assert on_ray.split_arguments(["bags"]) == (["bags"], [])


def test_a_bag_that_failed_answers_with_the_programs_words(tmp_path):
    script = "import sys; sys.exit('no such bag' if sys.argv[1] == 'bad' else 0)"
    program = tmp_path / "program"
    program.write_text(f"#!{sys.executable}\n{script}\n", encoding="utf-8")
    program.chmod(0o755)
    assert on_ray.evaluate(program, "good", tmp_path, [], 1) is None
    assert on_ray.evaluate(program, "bad", tmp_path, [], 1) == "no such bag"
