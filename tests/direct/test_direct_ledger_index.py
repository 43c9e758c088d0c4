import numpy as np

from surrogate3d.direct.ledger_index import KeyIndex, heads_of


def test_an_index_answers_as_a_dictionary_does():
    keys = [f"key {n}" for n in range(5000)]
    index, start = KeyIndex(), 0
    for size in (1, 1, 3, 700, 1, 2000, 40, 5, 249):
        index.add(heads_of(keys[start : start + size]))
        start += size
    expected = np.where(np.arange(5000) < start, np.arange(5000), -1)
    np.testing.assert_array_equal(index.find(heads_of(keys)), expected)
    assert len(index) == start == 3000


def test_keys_whose_hashes_begin_alike_are_told_apart():
    alike = np.array([5 << 40, (5 << 40) + 1, (5 << 40) + 2, (5 << 40) + 3], dtype=np.uint64)
    index = KeyIndex()
    index.add(alike[[2, 0]])
    index.add(alike[[1]])
    np.testing.assert_array_equal(index.find(alike), [1, 2, 0, -1])


def test_an_empty_index_knows_nothing_and_an_empty_question_has_an_empty_answer():
    assert KeyIndex().find(heads_of(["a", "b"])).tolist() == [-1, -1]
    index = KeyIndex()
    index.add(heads_of(["a"]))
    assert index.find(heads_of([])).tolist() == []
