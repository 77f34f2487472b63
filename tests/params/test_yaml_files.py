"""The loader of every file that a person writes: what is read, and what is refused in which words."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.errors import ParamsError
from recsys.params import yaml_files
from recsys.params.yaml_files import MAX_BYTES, MAX_DEPTH, MAX_VALUES, parse

BOMB = "a: &a [x, x, x]\n" + "".join(
    f"{c}: &{c} [*{p}, *{p}, *{p}]\n" for p, c in zip("abcdefgh", "bcdefghi", strict=True)
)


def reason(content: str | bytes) -> str:
    with pytest.raises(ParamsError) as caught:
        parse(content if isinstance(content, bytes) else content.encode(), "x.yaml")
    message = str(caught.value)
    assert message.startswith("x.yaml: ")
    assert message.isprintable()
    assert len(message) < 300
    return message.removeprefix("x.yaml: ")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("null", None), ("~", None), ("", None), ("true", True), ("False", False), ("0", 0), ("-12", -12), ("1.5", 1.5),
        ("1e-3", 1e-3), ("1.0e-05", 1e-5), ("'true'", "true"), ('"12"', "12"),
        # what YAML 1.1 makes of these surprises everybody
        ("no", "no"), ("NO", "NO"), ("on", "on"), ("off", "off"), ("y", "y"), ("012", "012"), ("0x1F", "0x1F"),
        ("0o17", "0o17"), ("1:30", "1:30"), ("190:20:30", "190:20:30"), ("1_000", "1_000"),
        ("2026-11-27", "2026-11-27"),
        ("2026-11-27T00:00:00Z", "2026-11-27T00:00:00Z"), (".inf", ".inf"), (".nan", ".nan"),
        ("+1", "+1"), ("=", "="),
        ("12345678901234567890", "12345678901234567890"), ("1e9999", "1e9999"), ("é", "é"),
    ],
)  # fmt: skip
def test_a_plain_value_is_what_json_would_make_of_it_and_text_otherwise(text: str, value: Any) -> None:
    content = parse(f"a: {text}".encode(), "x.yaml").content
    assert content == {"a": value}
    assert type(content["a"]) is type(value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        # the same key twice, at any depth, however it is written
        ("a: 1\nb: 2\na: 3", "line 3: the key 'a' is set twice, first in line 1: keep one"),
        ("x:\n  - {a: 1, a: 2}", "line 2: the key 'a' is set twice, first in line 2"),
        ("a: 1\n\"a\": 2", "line 2: the key 'a' is set twice, first in line 1"),
        ('a: 1\n"\\x61": 2', "line 2: the key 'a' is set twice, first in line 1"),
        ("a:\n  b:\n    c: 1\n    ? c\n    : 2", "line 4: the key 'c' is set twice, first in line 3"),
        # aliases and anchors
        (BOMB, "line 1: an anchor, '&a': take it out"),
        ("a: 1\nb: &x {c: 1}", "line 2: an anchor, '&x'"),
        ("&x a: 1", "line 1: an anchor, '&x'"),
        ("a: *x", "line 1: an alias, '*x': write the value out"),
        ("*x : 1", "line 1: an alias, '*x'"),
        ("a: &x\n  - *x", "line 1: an anchor, '&x'"),
        # merge keys
        ("a:\n  <<: {b: 1}", "line 2: a merge key, '<<': write out what it adds"),
        ("<<: [{a: 1}, {b: 1}]", "line 1: a merge key"),
        ("- {<< : {}}", "line 1: a merge key"),
        # keys that are not text
        ("1: a", "line 1: a key is '1', expected text: put it in quotes"),
        ("true: a", "line 1: a key is 'true', expected text"),
        ("a: {null: b}", "line 1: a key is 'null', expected text"),
        ("? \n: b", "line 1: a key is '', expected text"),
        ("[a]: b", "line 1: a key is a list or a mapping, expected text"),
        ("? {a: 1}\n: b", "line 1: a key is a list or a mapping"),
        # tags and directives
        ("a: !!python/object/apply:os.system ['true']", "line 1: a tag, 'tag:yaml.org,2002:python/"),
        ("a: !!set {b}", "line 1: a tag, 'tag:yaml.org,2002:set': take it out"),
        ("a: !!str 1", "line 1: a tag, 'tag:yaml.org,2002:str'"),
        ("a: !env SECRET", "line 1: a tag, '!env'"),
        ("%TAG ! x\n---\na: 1", "line 1: begins with %: take the line out"),
        ("# one\n%YAML 1.1\n---\na: 1", "line 2: begins with %"),
        # several documents
        ("a: 1\n---\nb: 1", "line 2: a second document begins: keep one"),
        ("a: 1\n...\n---\n", "line 3: a second document begins"),
        ("--- {}\n--- {}\n", "line 2: a second document begins"),
        # nothing
        ("", "the file is empty (comments do not count): write {} to say that nothing is set"),
        ("# a: 1\n", "the file is empty"),
        ("---\n...\n", "the file is empty"),
        ("null", "the file is empty"),
        (" \n\n", "the file is empty"),
        # half written
        ("a: [1, 2", "line 1: not valid YAML (did not find expected ',' or ']'): correct it"),
        ('a: "b', "line 1: not valid YAML (found unexpected end of stream)"),
        ("a:\n  - [b,\n\n", "line 3: not valid YAML (did not find expected node content): correct it"),
        ("a: {b: 1", "line 1: not valid YAML (did not find expected ',' or '}')"),
        ("a:\n  b: 1\n c", "line 3: not valid YAML (did not find expected key in the block that begins in line 1)"),
        ("a: b: c", "line 1: not valid YAML (mapping values are not allowed in this context)"),
        ("a:\n\t- b", "line 2: not valid YAML (found character that cannot start any token)"),
        ("\tb: 1", "line 1: not valid YAML (found character that cannot start any token)"),
        # characters
        (b"a: 1\nb: \xff", "line 2: not UTF-8: save the file in this encoding"),
        ("a: 1".encode("utf-16"), "line 1: not UTF-8"),
        ("a: é".encode("latin-1"), "line 1: not UTF-8"),
        ("a: 1\nb: \x07", "line 2: not valid YAML (control characters are not allowed): correct it"),
        ("a: \x00", "line 1: not valid YAML (control characters are not allowed)"),
        ("é: 1\n\n\x1b[31m: 1", "line 3: not valid YAML (control characters are not allowed)"),
        ('a: "\\ud800"', "line 1: not valid YAML (found invalid Unicode character escape code)"),
        # names that would break the line or fill the screen
        ('{"a\\nb\\e[31m": 1, "a\\nb\\e[31m": 1}', r"line 1: the key 'a\nb\x1b[31m' is set twice"),
        ('{"\\u202E": 1, "\\u202E": 1}', r"line 1: the key '\u202e' is set twice"),
        (f"{{{'k' * 900}: 1, {'k' * 900}: 1}}", f"line 1: the key '{'k' * 57}...' is set twice"),
    ],
)  # fmt: skip
def test_one_line_says_what_where_and_what_to_do(text: str | bytes, problem: str) -> None:
    assert reason(text).startswith(problem)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[" * 400_000, f"line 1: more than {MAX_DEPTH} levels deep: flatten it"),
        ("{a: " * 100_000, f"line 1: more than {MAX_DEPTH} levels deep"),
        ("- " * 200_000, f"line 1: more than {MAX_DEPTH} levels deep"),
        ("".join(" " * at + "a:\n" for at in range(900)), f"line {MAX_DEPTH + 1}: more than {MAX_DEPTH} levels deep"),
        ("? " * 200_000, "line 1: "),
        ("[" + "1," * 200_000, f"line 1: more than {MAX_VALUES:,} values: shorten the file"),
        ("- a\n" * 100_000, f"line {MAX_VALUES}: more than {MAX_VALUES:,} values"),
        ("{" + "a," * 200_000 + "}", "line 1: the key 'a' is set twice"),
        ("%TAG !a! x\n" * 40_000, "line 1: begins with %"),
        ("a" * (MAX_BYTES + 1), f"more than {MAX_BYTES:,} bytes: shorten it"),
    ],
)  # fmt: skip
def test_what_could_hold_a_worker_is_refused_before_it_grows(text: str, problem: str) -> None:
    """Without the limits the parser needs minutes for the first of these; benchmarks/yaml_files.py has the times."""
    assert reason(text).startswith(problem)


def test_what_is_within_the_limits_is_read() -> None:
    deep = "{a: " * MAX_DEPTH + "1" + "}" * MAX_DEPTH
    assert parse(deep.encode(), "x.yaml").content
    assert len(parse(("- a\n" * (MAX_VALUES - 1)).encode(), "x.yaml").content) == MAX_VALUES - 1
    assert parse("\ufeffa: 1\r\nb: |\r\n  x\r\n".encode(), "x.yaml").content == {"a": 1, "b": "x\n"}


def test_every_value_has_its_line() -> None:
    file = parse(b"a:\n  b: 1\n  c:\n    - x\n    - d: 2\n", "x.yaml")
    at = {(): 1, ("a",): 1, ("a", "b"): 2, ("a", "c"): 3, ("a", "c", 1): 5, ("a", "c", 1, "d"): 5}
    assert {place: file.at(place) for place in at} == {place: f"x.yaml: line {line}" for place, line in at.items()}
    assert file.at(("a", "c", 1, "absent", "[key]")) == "x.yaml: line 5"


@pytest.mark.parametrize("name", ["absent", "folder", "/dev/zero"])
def test_only_a_regular_file_is_opened(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(ParamsError, match=f"{name}: (no such file|not a file)"):
        yaml_files.read(tmp_path / name)


TEXT = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]))
NUMBERS = st.integers(-(10**17), 10**17) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


@given(JSON.filter(lambda value: value is not None))
def test_what_json_can_say_comes_back_as_it_was(value: Any) -> None:
    assert parse(json.dumps(value, ensure_ascii=False).encode(), "x.yaml").content == value


@given(st.text(st.sampled_from("ab1:-,.[]{}&*!|>'\"%#?@`~<\\x \n\t\x00é"), max_size=60) | st.binary(max_size=60))
def test_whatever_is_in_a_file_it_is_read_or_refused_in_one_line(content: str | bytes) -> None:
    message = ""
    try:
        parse(content if isinstance(content, bytes) else content.encode(), "x.yaml")
    except ParamsError as error:
        message = str(error)
    assert message == "" or message.isprintable()
