"""What a CSV file or a path says of an image, and what of it is refused."""

import pytest

from jreid.search.labels import Labels, pattern_labels, read_labels
from jreid.search.records import normal_time, seconds


@pytest.fixture
def folder(tmp_path):
    for name in ("a.jpg", "b/c.jpg"):
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "images" / name).touch()
    return tmp_path / "images"


def read(folder, text):
    file = folder.parent / "list.csv"
    file.write_text(text)
    return read_labels(file, folder)


def test_a_file_says_what_it_knows(folder):
    labels = read(
        folder,
        "path;camera;time;track;modality;identity\n"
        'a.jpg;gate 1;2026-11-27T14:05:29+01:00;7;IR;"Ada; L."\n'
        "b/c.jpg;;12.5;;;\n",
    )
    assert labels == {
        "a.jpg": Labels("gate 1", "2026-11-27T13:05:29", "7", "infrared", "Ada; L."),
        "b/c.jpg": Labels("", "12.5", "", "", ""),
    }
    assert read(folder, "path,track\na.jpg,\n") == {"a.jpg": Labels(track="")}


@pytest.mark.parametrize(
    "text, message",
    [
        ("path,colour\na.jpg,red\n", "unknown columns 'colour'.*The first line"),
        ("camera\n1\n", "no column 'path'"),
        ("path,path\na.jpg,a.jpg\n", "a column twice"),
        ("path\n", "lists no image"),
        ("", "no column 'path'"),
        ("path,camera\na.jpg\n", "line 2 has 1 values for 2 columns"),
        ("path\na.jpg\na.jpg\n", "line 3: a.jpg is listed twice"),
        ("path,time\na.jpg,noon\n", "line 2: the time is 'noon'; allowed is ISO 8601"),
        ("path,time\na.jpg,nan\n", "line 2: the time is 'nan'"),
        ("path,modality\na.jpg,x-ray\n", "modality is 'x-ray'; allowed are visible"),
        ("path\n../a.jpg\n", "line 2"),
    ],
)
def test_what_a_file_says_wrong_is_named(folder, text, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        read(folder, text)


def test_missing_files_are_named(folder):
    with pytest.raises(FileNotFoundError, match="line 2: the image .*z.jpg is missing"):
        read(folder, "path\nz.jpg\n")
    with pytest.raises(FileNotFoundError, match="the CSV file .* is missing"):
        read_labels(folder / "none.csv", folder)


def test_a_pattern_reads_paths():
    labels = pattern_labels(r"cam(?P<camera>\d+)/(?P<identity>\w+)_f(?P<time>\d+)")
    assert labels("x/cam12/ada_f0033.jpg") == Labels("12", "0033", identity="ada")
    assert labels("x/ada.jpg") is None
    labels = pattern_labels(r"cam(?P<camera>\d+)/(?P<identity>[a-z]+)?")
    assert labels("cam12/0033.jpg") == Labels("12", identity="")


@pytest.mark.parametrize(
    "pattern, message",
    [
        ("cam(", "missing ., unterminated"),
        ("cam1", "the named groups none; allowed are camera, time"),
        ("(?P<colour>.)", "the named groups colour; allowed are camera, time"),
    ],
)
def test_patterns_that_say_nothing_are_refused(pattern, message):
    with pytest.raises(ValueError, match=message):
        pattern_labels(pattern)


@pytest.mark.parametrize(
    "text, normal, value",
    [
        ("1970-01-02", "1970-01-02T00:00:00", 86400),
        ("1970-01-01T01:00:00.5Z", "1970-01-01T01:00:00.500000", 3600.5),
        ("1970-01-01T01:00+01:00", "1970-01-01T00:00:00", 0),
        ("0042", "0042", 42),
        ("-1.5", "-1.5", -1.5),
    ],
)
def test_times(text, normal, value):
    assert (normal_time(text), seconds(text), seconds(normal)) == (normal, value, value)
