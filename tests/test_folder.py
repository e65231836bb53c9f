"""The reader of custom data sets: folders, CSV files, and the split of identities."""

import logging
import pathlib

import pytest

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
    assert len(train) == len(test) == 2 and train | test == set(PEOPLE)
    assert dataset.names == dict(enumerate(sorted(PEOPLE)))
    assert dataset.test.modality.tolist() == [VISIBLE] * 4 + [INFRARED] * 4
    assert dataset.test.cameras.tolist() == [1] * 4 + [2] * 4
    assert dataset.test.paths[0] == str(
        tmp_path / "mine" / "visible" / min(test) / "0.jpg"
    )
    assert len(dataset.val) == 0


def test_the_split_does_not_depend_on_order_and_changes_little(tmp_path):
    names = [f"person {i}" for i in range(100)]
    test = split_identities(names, 0.3)
    assert len(test) == 30 and test == split_identities(reversed(names), 0.3)
    # One identity more moves at most one other.
    assert len(test ^ split_identities([*names, "new"], 0.3)) <= 2
    assert len(split_identities(names[:2], 0.0)) == 1
    assert len(split_identities(names[:2], 1.0)) == 1
    # SHA-256 is the same everywhere; this would change if something else were used.
    assert split_identities(PEOPLE, 0.5) == {"bob", "joe"}


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
        (("path;id;modality", "a.jpg;1;0"), "unknown columns 'path;id;modality'"),
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
