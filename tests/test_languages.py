"""Messages in every language: complete, with the same placeholders; the reader of .po files."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib import resources
from pathlib import Path

import click
import jinja2
import pytest

import dronesense
from dronesense.cli import COMMANDS, cli, failures, helped, products, run_cli, spoken, talk
from dronesense.errors import DronesenseError
from dronesense.languages import LANGUAGES, SOURCE, catalog, from_environment, po
from dronesense.writers import columns, words

PACKAGE = Path(dronesense.__file__).parent
OTHERS = [language for language in LANGUAGES if language != SOURCE]
PLACEHOLDER = re.compile(r"%(?:\(\w+\)[sd]|.)")


@pytest.fixture(autouse=True)
def english_again() -> Iterator[None]:
    yield
    spoken.begin({})


@cache
def used() -> frozenset[str]:
    """Return every message id: of the template, of calls in the code, and headings of columns."""
    template = PACKAGE.joinpath("writers", "page", "report.html.jinja").read_text("utf-8")
    environment = jinja2.Environment(extensions=["jinja2.ext.i18n"])
    ids: set[str] = {column.alias for column in columns.HOTSPOT}
    for _, _, found in environment.extract_translations(template):  # type: ignore[attr-defined]
        texts = found if isinstance(found, tuple) else (found,)
        ids |= {text for text in texts if isinstance(text, str)}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                name = (
                    node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                )
                if name in ("_", "gettext", "ngettext", "marked"):
                    constants = [each.value for each in node.args if isinstance(each, ast.Constant)]
                    ids |= {text for text in constants if isinstance(text, str)}
    return frozenset(ids | said_of_commands())


def said_of_commands() -> set[str]:
    """Return what every command, argument and option says of itself, from the commands as they are."""
    ids = {paragraph for text in COMMANDS.values() for paragraph in helped.paragraphs(text)}

    def walk(command: click.Command, context: click.Context) -> None:
        ids.update(helped.paragraphs((command.help or "").split("\f")[0]))
        for parameter in command.params:
            text = (getattr(parameter, "help", None) or "").split("  [")[0]
            ids.update(helped.paragraphs(text))
        if isinstance(command, click.Group):
            for name in command.list_commands(context):
                found = command.get_command(context, name)
                assert found is not None
                walk(found, click.Context(found, info_name=name, parent=context))

    walk(cli, click.Context(cli, info_name="dronesense"))
    return ids


def entries(language: str) -> po.Catalog:
    text = resources.files("dronesense.languages").joinpath(f"{language}.po").read_text("utf-8")
    found = po.parse(text)
    del found[("",)]
    return found


@pytest.mark.parametrize("language", OTHERS)
def test_every_message_is_there_and_none_is_left_over(language: str) -> None:
    ids = used()
    assert len(ids) > 100
    assert {text for key in entries(language) for text in key} == ids


@pytest.mark.parametrize("language", OTHERS)
def test_placeholders_are_those_of_the_source_and_no_text_is_empty(language: str) -> None:
    for key, forms in entries(language).items():
        for form in forms:
            assert form.strip(), key
            percent = "%(" in key[0] or "%%" in key[0]
            if percent:
                assert sorted(PLACEHOLDER.findall(form)) == sorted(PLACEHOLDER.findall(key[-1])), key


@pytest.mark.parametrize(
    ("language", "words_by_count"),
    [
        ("en", {1: "hotspot ", 2: "hotspots", 5: "hotspots"}),
        ("ru", {1: "1 очаг ", 2: "2 очага", 5: "5 очагов", 11: "11 очагов", 21: "21 очаг ", 104: "очага"}),
        ("kk", {1: "1 ошақ", 5: "5 ошақ"}),
    ],
)
def test_numbers_take_the_form_of_the_language(language: str, words_by_count: dict[int, str]) -> None:
    for count, expected in words_by_count.items():
        text = catalog(language).ngettext(
            "Flight %(flight)s: %(count)d hotspot (indications, not proof)",
            "Flight %(flight)s: %(count)d hotspots (indications, not proof)",
            count,
        )
        assert expected in text % {"flight": "f", "count": count}


def test_an_unknown_language_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="en, ru, kk"):
        catalog("de")


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "en"), ({"LANG": ""}, "en"), ({"LANG": "C.UTF-8"}, "en"), ({"LANG": "de_DE"}, "en"),
        ({"LANG": "ru_RU.UTF-8"}, "ru"), ({"LANG": "kk"}, "kk"), ({"LC_ALL": "kk_KZ", "LANG": "ru_RU"}, "kk"),
        ({"LC_MESSAGES": "ru-RU", "LANG": "en_US"}, "ru"), ({"LC_ALL": "", "LANG": "ru"}, "ru"),
    ],
)  # fmt: skip
def test_the_terminal_follows_the_environment(environment: dict[str, str], expected: str) -> None:
    assert from_environment(environment) == expected


# --- .po ------------------------------------------------------------------------------------------------


def test_po_texts_are_put_together_and_unescaped() -> None:
    text = '# c\nmsgid ""\n"a\\n"\n"b\\"c\\\\"\nmsgstr "d\\te"\n\n'
    text += 'msgid "x"\nmsgid_plural "xs"\nmsgstr[0] "1"\nmsgstr[1] "2"\n'
    assert po.parse(text) == {('a\nb"c\\',): ("d\te",), ("x", "xs"): ("1", "2")}


@pytest.mark.parametrize(
    "text",
    [
        'msgid "a"\n',
        'msgid "a"\nmsgstr "b"\nmsgid "a"\nmsgstr "c"\n',
        'msgid "a"\nmsgstr "b"\nmsgstr "c"\n',
        'msgid "a"\nmsgid_plural "as"\nmsgstr "b"\n',
        'msgctxt "a"\nmsgid "a"\nmsgstr "b"\n',
        'msgid "a\nmsgstr "b"\n',
        '"a"\n',
        'msgid "a\\x41"\nmsgstr "b"\n',
        "hello\n",
    ],
)
def test_what_is_no_po_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"line \d+"):
        po.parse(text)


def test_the_catalog_is_that_of_gettext_tools(tmp_path: Path) -> None:
    """The peer: GNU msgfmt, where it is installed, compiles the same catalog."""
    import gettext
    import shutil

    if shutil.which("msgfmt") is None:
        pytest.skip("msgfmt is not installed")
    for language in OTHERS:
        source, target = PACKAGE / "languages" / f"{language}.po", tmp_path / f"{language}.mo"
        subprocess.run(["msgfmt", "--check", str(source), "-o", str(target)], check=True)
        with target.open("rb") as stream:
            peer = gettext.GNUTranslations(stream)
        assert peer._catalog == catalog(language)._catalog  # type: ignore[attr-defined]


# --- the terminal ---------------------------------------------------------------------------------------

ROW = {
    "target": "цель", "kind": "gas", "lat": 43.25, "lon": 76.9, "ce90_m": 2.8, "score": 9.0, "q_value": None,
    "n_passes": 3, "value": 4.1, "value_sigma": None, "unit": "ppm",
}  # fmt: skip


def outcome(rows: list[dict[str, object]]) -> products.Outcome:
    return products.Outcome(
        flight="f", run_id="r", directory="d", files=["view.html"], hotspots=rows,
        statements={"looked_at": "2 of 3 cubes"}, warnings=["w ± 1"], rejected=[("a.bin", "a.bin: broken")],
        ignored=[("b.txt", "no reader")],
    )  # fmt: skip


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_summary_says_what_was_found_how_sure_what_not_and_what_next(language: str) -> None:
    _ = catalog(language).gettext
    text = talk.summary(outcome([ROW] * 30), language=language)
    assert "43.250000" in text
    assert " 1: 43TFH" in text  # 654 km east in zone 43: column F; 4790 km north: row H
    assert f"{_('Looked at')}: 2 of 3 cubes" in text
    assert f"{_('Not used')}: a.bin: broken" in text
    assert "reject" in text
    assert "10" in next(line for line in text.splitlines() if "hotspots.geojson" in line)
    empty = talk.summary(outcome([]), language=language)
    assert "reject" not in empty
    assert f"{_('What to do next')}: " in empty
    assert talk.cautions(outcome([]), language=language) == [f"{_('Warning')}: w ± 1"]


def test_tables_of_numbers_are_told_in_words() -> None:
    told = {
        "radiometry": [{"cube": "a.hdr", "steps": ["x", "y"], "sigma": [0.1] * 9, "noise": {"median": 0.5}}]
    }
    assert words.statements(told) == [("Radiometry", "a.hdr: steps x, y; noise (median 0.5)")]
    assert words.statements(told, translate=catalog("ru").gettext)[0][0] == "Радиометрия"
    assert words.statements({"new_thing": 1}) == [("New thing", "1")]


@pytest.mark.parametrize(
    ("language", "encoding"), [("en", "cp866"), ("ru", "cp866"), ("kk", "cp1252"), ("ru", "ascii")]
)
def test_legacy_consoles_do_not_stop_the_summary(language: str, encoding: str) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import test_languages as t; from dronesense.cli import "
        "prepare_environment as p, talk; p(); print(talk.summary(t.outcome([t.ROW]), language=sys.argv[2]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parent), language],
        capture_output=True, env={**os.environ, "PYTHONIOENCODING": encoding}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    if encoding == "cp866" and language == "ru":
        assert "очаг" in done.stdout.decode("cp866")


def test_inspect_speaks_the_language(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "DJI_0001.SRT"
    path.write_text(
        "1\n00:00:00,000 --> 00:00:01,000\nHOME(9.0,48.0) 2026.06.14 10:00:00\nGPS(9.0001,48.0001,12) "
        "BAROMETER:10.0\n\n2\n00:00:01,000 --> 00:00:02,000\nHOME(9.0,48.0) 2026.06.14 10:00:01\n"
        "GPS(9.0002,48.0002,12) BAROMETER:10.5\n",
        "utf-8",
    )
    assert run_cli(["inspect", str(path), "--tz", "UTC", "--lang", "kk"]) == 0
    assert "Ұшу жолы:" in capsys.readouterr().out
    monkeypatch.setenv("LC_ALL", "ru_RU.UTF-8")
    assert run_cli(["inspect", str(path), "--tz", "UTC"]) == 0
    assert "Трек:" in capsys.readouterr().out


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("site") / "site.geojson"
    ring = [[9.0, 48.0], [9.004, 48.0], [9.004, 48.002], [9.0, 48.002], [9.0, 48.0]]
    path.write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}), "utf-8")
    return str(path)


PLAN = ["--fov-deg", "30", "--samples", "640", "--height", "60", "--speed", "5"]
LEAK = ["--gas", "CH4", "--rate", "1", "--limit-ppm", "1", "--wind", "3", "--stability", "D"]


@pytest.fixture(scope="module")
def english_plan(site: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("english")
    assert run_cli(["plan", site, *PLAN, *LEAK, "-o", str(folder), "--lang", "en"]) == 0
    return folder


@pytest.mark.parametrize(
    ("language", "swath", "rest"),
    [("ru", "Ширина захвата: 32.15 м", "взлёт"), ("kk", "Қамту ені: 32.15 м", "жел")],
)  # 2 * 60 m * tan(15 degrees) = 32.15 m
def test_a_plan_is_told_in_the_language_and_written_in_english(
    language: str,
    swath: str,
    rest: str,
    site: str,
    english_plan: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_cli(["plan", site, *PLAN, *LEAK, "-o", str(tmp_path), "--lang", language]) == 0
    told = capsys.readouterr()
    assert swath in told.out
    assert rest in told.out
    words = re.sub(r"/\S+|CH4|ppm|Briggs", "", told.out)
    assert re.findall(r"[A-Za-z]{2,}", words) == []  # nothing is left in English
    for name in ("plan.json", "plan.geojson", "plan.kml"):
        assert (tmp_path / name).read_bytes() == (english_plan / name).read_bytes()


@pytest.mark.parametrize(
    ("language", "error", "fix"),
    [
        ("en", "Error: ", ". What to do: "),
        ("ru", "Ошибка: ", ". Что делать: "),
        ("kk", "Қате: ", ". Не істеу керек: "),
    ],
)
def test_the_frame_of_an_error_speaks_and_its_message_names_keys(
    language: str, error: str, fix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "flight.toml"
    path.write_text('[flight]\nid = "f"\nzone = "x"\n', "utf-8")
    assert run_cli(["run", str(tmp_path), "--lang", language]) == 2
    told = capsys.readouterr().err
    assert told.startswith(error)
    assert "zone" in told
    mistaken = DronesenseError("latitude is 95.0", where="log.csv, row 7", fix="check the columns")
    failures.explain(mistaken)
    assert capsys.readouterr().err == f"{error}log.csv, row 7: latitude is 95.0{fix}check the columns\n"


def test_usage_errors_and_files_follow_the_terminal_until_lang_is_said(
    site: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "ru_RU.UTF-8")
    assert run_cli(["plan", site, "--speed", "5"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("Использование: dronesense plan")
    assert "Справка: 'dronesense plan --help'." in told
    assert "\n\nОшибка: " in told
    assert "--height" in told
    assert run_cli(["plan", site, "--speed", "5", "--lang", "kk"]) == 2
    assert "\nҚате: " in capsys.readouterr().err
    assert failures.explain(PermissionError(13, "denied", "x.tif")) == failures.EXIT_IO
    assert capsys.readouterr().err == "Қате: x.tif: denied. Ештеңе жартылай жазылып қалған жоқ.\n"
    run_cli(["plugins"])  # the next call begins anew
    capsys.readouterr()
    failures.interrupted()
    assert capsys.readouterr().err.startswith("Прервано")


def test_usage_errors_in_english_are_those_of_click(site: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The peer: click's own words for the same mistake."""
    from dronesense.cli import cli

    arguments = ["plan", site, "--speed", "-1"]
    with pytest.raises(click.UsageError) as caught:
        cli.main(args=arguments, prog_name="dronesense", standalone_mode=False)
    caught.value.show()
    expected = capsys.readouterr().err
    assert run_cli(arguments) == 2
    assert capsys.readouterr().err == expected


@pytest.mark.parametrize(("count", "ending"), [(1, "очаг без места не учтён"), (3, "очага"), (11, "очагов")])
def test_a_merge_is_told_in_the_language(count: int, ending: str) -> None:
    from dronesense.cli import spoken
    from dronesense.cli.merge_command import _in_words

    features = [{"properties": {"since": word}} for word in ("new", "not seen again", "new")]
    told = {"notes": ["a: n"], "without_place": count, "places": 3, "runs": ["a", "b"], "repeated": 0}
    spoken.begin({"LANG": "ru"})
    try:
        lines = _in_words(told, {"features": features})
    finally:
        spoken.begin({})
    assert lines[0] == "Предупреждение: a: n"
    assert lines[1].startswith(f"Предупреждение: {count} {ending}")
    assert lines[2] == "мест: 3, обработок: 2, найдено несколькими: 0; 2 новое, 1 больше не замечено"


@pytest.mark.parametrize(
    "command", ["run", "inspect", "demo", "plan", "merge", "calibrate boresight", "calibrate times"]
)
def test_commands_take_a_language(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli([*command.split(), "--help"]) == 0
    assert "--lang [en|ru|kk]" in capsys.readouterr().out


# --- help -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", OTHERS)
def test_help_speaks_the_language_of_the_call(
    language: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By --lang before and behind the command, and by the terminal; nothing but names stays English."""
    say = catalog(language).gettext
    wide = {"terminal_width": 400}
    monkeypatch.setattr(cli, "context_settings", {**cli.context_settings, **wide, "max_content_width": 400})
    monkeypatch.setenv("LANG", "C")
    outputs = []
    for arguments in (["run", "--lang", language, "--help"], ["--lang", language, "run", "--help"]):
        assert run_cli(arguments) == 0
        outputs.append(capsys.readouterr().out)
    monkeypatch.setenv("LANG", f"{language}_KZ.UTF-8")
    assert run_cli(["run", "--help"]) == 0
    assert {*outputs, capsys.readouterr().out} == {outputs[0]}
    flat = " ".join(outputs[0].split())
    for text in ("Usage:", "Options", "Show this message and exit.", "One JSON object on stdout."):
        assert say(text) in flat
        assert text not in flat
    assert f"[{say('default')}: 1; x>=1]" in flat
    assert run_cli(["--help"]) == 0
    assert all(say(text) in " ".join(capsys.readouterr().out.split()) for text in [COMMANDS["run"]])


def test_english_help_is_as_it_stands_in_the_code(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANG", "C")
    assert run_cli(["calibrate", "analyzer", "--help"]) == 0
    flat = " ".join(capsys.readouterr().out.split())
    assert flat.startswith("Usage: dronesense calibrate analyzer [OPTIONS] RECORDING")
    assert "[default: records/ID/DATE.toml in the folder of --calibration]" in flat
    assert "Id of the instrument that made the recording. [required]" in flat


# --- the summary, in short ------------------------------------------------------------------------------


def test_twenty_strips_that_are_alike_are_told_once() -> None:
    strips = range(1, 21)
    found = {
        "false_alarms": [
            f"paint in line_{k}: 1e-05 per pixel, {1 + k / 10} expected by chance in {1000 * k} pixels"
            for k in strips
        ],
        "radiometry": [
            {
                "cube": f"line_{k}.hdr",
                "quantity": "reflectance",
                "steps": ["dark", "panel"],
                "good_bands": 70 + k % 2,
                "by_part": {"noise": 0.1 * k},
            }
            for k in strips
        ],
        "gas_clock": [{"source": "gas.csv", "offset_s": 2.5, "sigma_s": 0.1, "method": "pressure"}],
        "looked_at": "20 of 20 cubes",
    }
    told = words.in_short(found)
    assert told == [
        (
            "False alarms",
            (
                "paint in line_1, line_2, line_3 and 17 more: 1e-05 per pixel, 1.1 to 3.0 expected by chance "
                "in 1000 to 20000 pixels"
            ),
        ),
        (
            "Radiometry",
            "line_1.hdr, line_2.hdr, line_3.hdr and 17 more: quantity reflectance; good bands 70 to 71",
        ),
        ("Gas clock", "gas.csv: +2.50 ± 0.10 s (pressure)"),
        ("Looked at", "20 of 20 cubes"),
    ]
    assert len(words.statements(found)) == 42  # all of it in the report


def test_what_is_not_alike_is_told_one_by_one() -> None:
    notes = ["a in x: 3 of 4", "a in y: 3 of 4, one left out", "b in x: 5 of 6", "no subject 1"]
    assert [text for _, text in words.in_short({"notes": notes})] == notes
    times = ["log: 2026-06-14T07:00:00.100Z to 2026-06-14T07:20:00Z", "other: 2026-06-15T07:00:00.100Z to 1"]
    assert [text for _, text in words.in_short({"track": times})] == times
