"""The reader of custom data sets: folders, CSV files, and the split of identities."""

import hashlib
import logging
import pathlib
import unicodedata

import pytest

from jreid.config_files import load
from jreid.config_hash import config_hash
from jreid.config_json import from_json, to_json
from jreid.data.datasets import INFRARED, VISIBLE, Dataset
from jreid.data.entries import split_identities
from jreid.data.folder import read_folder

PEOPLE = ("ada", "bob", "eve", "joe")


def make_tree(
    root: pathlib.Path,
    visible: tuple[str, ...] = PEOPLE,
    infrared: tuple[str, ...] = PEOPLE,
    images: int = 2,
) -> pathlib.Path:
    for modality, names in (("visible", visible), ("infrared", infrared)):
        for name in names:
            folder = root / modality / name
            folder.mkdir(parents=True)
            for number in range(images):
                (folder / f"{number}.jpg").touch()
    return root


def write_csv(root: pathlib.Path, *lines: str) -> pathlib.Path:
    """A CSV file beside six empty images a.jpg ... f.jpg."""
    root.mkdir(exist_ok=True)
    for name in "abcdef":
        (root / f"{name}.jpg").touch()
    (root / "images.csv").write_text("\n".join(lines) + "\n")
    return root / "images.csv"


COLUMNS = "path,id,camera,modality,split"
LINES = (
    "a.jpg,ada,door,visible,train",
    "b.jpg,ada,roof,infrared,train",
    "c.jpg,bob,door,0,test",
    'd.jpg,bob,roof,1,"test"',
)


def people(dataset: Dataset, part: str) -> set[str]:
    return {dataset.names[i] for i in getattr(dataset, part).ids.tolist()}


def test_a_tree_is_read_with_names_and_split_by_identity(tmp_path):
    dataset = read_folder(make_tree(tmp_path / "mine"))
    train, test = people(dataset, "train"), people(dataset, "test")
    assert train and test and train | test == set(PEOPLE) and not train & test
    assert test == split_identities(PEOPLE, 0.5)
    assert dataset.names == dict(enumerate(sorted(PEOPLE)))
    count = 2 * len(test)
    assert dataset.test.modality.tolist() == [VISIBLE] * count + [INFRARED] * count
    assert dataset.test.cameras.tolist() == [1] * count + [2] * count
    assert dataset.test.paths[0] == str(
        tmp_path / "mine" / "visible" / min(test) / "0.jpg"
    )
    assert len(dataset.val) == 0


def place(name: str) -> float:
    """Where SHA-256 puts a name in [0, 1), by its first 16 hex digits."""
    return int(hashlib.sha256(name.encode()).hexdigest()[:16], 16) / 16**16


@pytest.mark.parametrize("fraction", [0.1, 0.3, 0.5, 0.9])
def test_nobody_is_moved_by_people_who_come_or_go(fraction):
    names = [f"person {i}" for i in range(200)]
    test = split_identities(names, fraction)
    assert test == {name for name in names if place(name) < fraction}
    assert abs(len(test) - 200 * fraction) < 25
    assert test == split_identities(reversed(names), fraction)
    for there in (names[:50], names[150:], [*names, "ada", "José"]):
        own = split_identities(there, fraction)
        assert own & set(names) == test & set(there)


def test_no_part_is_left_empty_but_for_a_fraction_of_0():
    low, high = sorted(("ada", "bob"), key=place)
    assert split_identities((low, high), place(low) / 2) == {low}
    assert split_identities((low, high), 1.0) == {low}
    assert split_identities((low, high), 0.0) == set()


def test_the_split_of_older_runs_is_by_count():
    names = [f"person {i}" for i in range(100)]
    test = split_identities(names, 0.3, "count")
    assert len(test) == 30 and test == set(sorted(names, key=place)[:30])
    assert split_identities(PEOPLE, 0.5, "count") == {"bob", "joe"}


def test_a_run_stored_without_the_rule_keeps_the_old_one():
    stored = to_json(load("custom"))
    assert stored["data"]["split_by"] == "name"
    new = config_hash(from_json(stored))
    del stored["data"]["split_by"]
    assert from_json(stored).data.split_by == "count"
    assert config_hash(from_json(stored)) != new


def test_a_fraction_of_0_trains_on_everybody(tmp_path):
    dataset = read_folder(make_tree(tmp_path), test_fraction=0.0)
    assert people(dataset, "train") == set(PEOPLE) and not len(dataset.test)


def test_numbered_people_keep_their_numbers_unless_two_would_be_one(tmp_path):
    numbers = ("0007", "12", "0300")
    dataset = read_folder(make_tree(tmp_path / "a", numbers, numbers))
    assert dataset.names == {7: "0007", 12: "12", 300: "0300"}
    numbers = ("1", "01", "2")
    dataset = read_folder(make_tree(tmp_path / "b", numbers, numbers))
    assert dataset.names == {0: "01", 1: "1", 2: "2"}


def test_people_of_one_modality_are_left_out_and_named(tmp_path, caplog):
    root = make_tree(tmp_path / "mine", (*PEOPLE, "dan"), (*PEOPLE, "zoe"))
    with caplog.at_level(logging.WARNING):
        dataset = read_folder(root)
    assert set(dataset.names.values()) == set(PEOPLE)
    assert "2 of 6 identities" in caplog.text and "dan, zoe" in caplog.text


def test_folders_split_by_the_user_stay_so(tmp_path):
    root = tmp_path / "mine"
    make_tree(root / "train", ("ada",), ("ada",))
    make_tree(root / "test", ("bob", "dan"), ("bob",))
    make_tree(root / "val", ("eve",), ("eve",))
    dataset = read_folder(root)
    assert people(dataset, "train") == {"ada"}
    assert people(dataset, "val") == {"eve"}
    assert people(dataset, "test") == {"bob", "dan"}  # dan: another wrong answer


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: (r / "infrared").rename(r / "ir"), "infrared is missing"),
        (lambda r: (r / "train").mkdir(), "has train beside visible or infrared"),
    ],
)
def test_trees_of_another_layout_are_refused(tmp_path, change, message):
    root = make_tree(tmp_path / "mine")
    change(root)
    with pytest.raises((ValueError, FileNotFoundError)) as info:
        read_folder(root)
    assert message in str(info.value)
    assert "infrared/NAME/*.jpg" in str(info.value)


def test_too_few_people_and_empty_folders_are_refused(tmp_path, caplog):
    with pytest.raises(ValueError, match="infrared images: 1; at least two"):
        read_folder(make_tree(tmp_path / "a", ("ada",), ("ada",)))
    with pytest.raises(ValueError, match="infrared images: 0; .* the same name"):
        read_folder(make_tree(tmp_path / "b", ("ada", "bob"), ("Ada", "Bob")))
    with pytest.raises(ValueError, match="visible has no image in a folder"):
        read_folder(make_tree(tmp_path / "c", images=0))
    with pytest.raises(FileNotFoundError, match="nowhere is missing"):
        read_folder(tmp_path / "nowhere")
    root = make_tree(tmp_path / "d")
    (root / "visible" / "zoe").mkdir()
    with caplog.at_level(logging.WARNING):
        read_folder(root)
    assert "1 folders hold no image" in caplog.text and "zoe" in caplog.text


def test_a_csv_file_is_read(tmp_path):
    file = write_csv(tmp_path / "mine", COLUMNS, *LINES)
    dataset = read_folder(file)
    assert people(dataset, "train") == {"ada"} and people(dataset, "test") == {"bob"}
    assert dataset.train.paths.tolist() == [
        str(tmp_path / "mine" / name) for name in ("a.jpg", "b.jpg")
    ]
    assert dataset.train.cameras.tolist() == [0, 1]  # door, roof
    assert dataset.test.modality.tolist() == [VISIBLE, INFRARED]


def test_a_csv_file_may_lack_camera_and_split_and_order_its_columns(tmp_path):
    lines = ("modality,path,id", "Visible,a.jpg,1", "1,b.jpg,1", "", "0,c.jpg,2")
    file = write_csv(tmp_path, *lines, '"infrared", sub/d.jpg ,2')
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "d.jpg").touch()
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n"))
    dataset = read_folder(file)
    assert sorted(dataset.train.ids.tolist() + dataset.test.ids.tolist()) == [
        *(1, 1, 2, 2)
    ]
    assert dataset.test.cameras.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("path,id,modality,colour", "a.jpg,1,0,red"), "unknown columns 'colour'"),
        (("path,camera,split", "a.jpg,1,train"), "no columns 'id', 'modality'"),
        (("path|id|modality", "a.jpg|1|0"), "unknown columns 'path.id.modality'"),
        (("path,id,modality,id", "a.jpg,1,0,1"), "names a column twice"),
        ((COLUMNS,), "lists no image"),
        (("",), "is empty"),
        ((COLUMNS, *LINES, "a.jpg,ada,x,0,train"), "listed in line 2 already"),
        ((COLUMNS, *LINES, "./a.jpg,ada,x,0,train"), "listed in line 2 already"),
        ((COLUMNS, *LINES, "e.jpg,ada,x,0,query"), "line 6: split is 'query'"),
        ((COLUMNS, *LINES, "e.jpg,ada,x,0,"), "line 6: split is empty"),
        ((COLUMNS, *LINES, "e.jpg,,x,0,train"), "line 6: id is empty"),
        ((COLUMNS, *LINES, "e.jpg,ada,x,2,train"), "line 6: modality is '2'"),
        ((COLUMNS, *LINES, "e.jpg,ada,x,0"), "line 6 has 4 values for 5 columns"),
        ((COLUMNS, *LINES, "../e.jpg,ada,x,0,train"), "line 6: .* leads out"),
        ((COLUMNS, *LINES, "/etc/passwd,ada,x,0,train"), "line 6: .* leads out"),
        ((COLUMNS, *LINES, "z.jpg,ada,x,0,train"), "line 6: the image .*z.jpg"),
        ((COLUMNS, *LINES, 'e.jpg,"a"da,x,0,train'), "line 6: "),
        ((COLUMNS, *LINES, "e.jpg,ada,x,0,test"), "'ada' in the splits train and test"),
        ((COLUMNS, *LINES[:2]), "no image in the split test"),
        ((COLUMNS, LINES[0], LINES[2]), "has no infrared image"),
        (("path,id,modality", "a.jpg,1,0", "b.jpg,2,1"), "infrared images: 0;"),
    ],
)
def test_a_csv_file_with_a_mistake_is_refused_with_its_line(tmp_path, lines, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        read_folder(write_csv(tmp_path, *lines))


def test_a_csv_file_that_is_missing_or_no_text_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"CSV file .*none.csv is missing"):
        read_folder(tmp_path / "none.csv")
    (tmp_path / "x.csv").write_bytes(b"path,id\xff\xfe")
    with pytest.raises(ValueError, match="not a text file in UTF-8"):
        read_folder(tmp_path / "x.csv")


def test_spreadsheets_of_other_countries_and_habits_are_read(tmp_path):
    (tmp_path / "Sub").mkdir()
    for name in ("a.jpg", "b.jpg", "c.jpg", "d.jpg"):
        (tmp_path / "Sub" / name).touch()
    lines = (
        "Path;ID;Camera;Modality;Split",
        r"Sub\a.jpg;3;1;RGB;Train",
        f"{tmp_path}/Sub/b.jpg;3;2;IR;train",
        "Sub/c.jpg;4;1;visible;TEST",
        "Sub/d.jpg;4;2;Thermal;test",
    )
    expected = [str(tmp_path / "Sub" / name) for name in ("a.jpg", "b.jpg")]
    text = "\r\n".join(lines)
    file = tmp_path / "people.csv"
    for separator in ";,\t":
        for encoding in ("utf-8", "utf-8-sig", "utf-16"):
            file.write_bytes(text.replace(";", separator).encode(encoding))
            dataset = read_folder(file)
            assert dataset.train.paths.tolist() == expected
            assert dataset.train.modality.tolist() == [VISIBLE, INFRARED]
            assert dataset.test.ids.tolist() == [4, 4]


def test_names_are_compared_in_one_unicode_form(tmp_path, caplog):
    forms = [unicodedata.normalize(form, "José") for form in ("NFC", "NFD")]
    root = make_tree(tmp_path, (*PEOPLE, forms[0]), (*PEOPLE, forms[1]))
    with caplog.at_level(logging.WARNING):
        dataset = read_folder(root)
    assert not caplog.messages
    assert set(dataset.names.values()) == {*PEOPLE, forms[0]}
    make_tree(tmp_path, (forms[1],), ())
    with caplog.at_level(logging.WARNING):
        dataset = read_folder(root)
    assert "two folders for each of 1 names" in caplog.text and forms[0] in caplog.text
    paths = [*dataset.train.paths, *dataset.test.paths]
    assert sum("Jos" in path for path in paths) == 6


def test_junk_people_are_left_out_with_a_word(tmp_path, caplog):
    root = make_tree(tmp_path, (*PEOPLE, "-1"), (*PEOPLE, "-1"))
    with caplog.at_level(logging.WARNING):
        dataset = read_folder(root)
    assert set(dataset.names.values()) == set(PEOPLE)
    assert "4 images of a negative identity are left out" in caplog.text


def test_what_is_not_read_is_counted_with_an_example(tmp_path, caplog):
    root = make_tree(tmp_path)
    for name in (
        "visible/.ipynb_checkpoints/x.jpg",
        "visible/ada/.hidden.jpg",
        "visible/ada/Thumbs.db",
        "__MACOSX/visible/ada/0.jpg",
        "visible/ada/2.webp",
        "infrared/ada/2.JFIF",
        "visible/bob/3.tif",
        "visible/bob/4.tif",
        "visible/bob/notes",
        "visible/eve/cam2/5.jpg",
        "visible/eve/cam2/6.jpg",
        "visible/0007_c1.jpg",
        "thermal/joe/1.png",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    with caplog.at_level(logging.WARNING):
        dataset = read_folder(root)
    assert set(dataset.names.values()) == set(PEOPLE)
    read = {*dataset.train.paths.tolist(), *dataset.test.paths.tolist()}
    assert {f"{root}/visible/ada/2.webp", f"{root}/infrared/ada/2.JFIF"} <= read
    assert len(read) == 16 + 2
    ignored, elsewhere = caplog.messages
    assert f"2 of .tif ({root}/visible/bob/3.tif)" in ignored
    assert f"1 of no suffix ({root}/visible/bob/notes)" in ignored
    assert "4 images lie where none are read" in elsewhere
    for name in ("thermal/joe/1.png", "visible/0007_c1.jpg", "visible/eve/cam2/5.jpg"):
        assert f"{root}/{name}" in elsewhere
    assert "visible/NAME/*.jpg" in elsewhere
