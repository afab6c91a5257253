import numpy as np

from indexes.growable import GrowableArray


def test_rows_come_back_in_order_across_growth() -> None:
    array: GrowableArray[np.float32] = GrowableArray(np.float32, width=3, capacity=2)
    rows = np.arange(60, dtype=np.float32).reshape(20, 3)
    for start in range(0, 20, 4):
        array.append(rows[start : start + 4])
    assert len(array) == 20
    np.testing.assert_array_equal(array.view(), rows)


def test_without_a_width_it_is_one_dimensional() -> None:
    array: GrowableArray[np.int64] = GrowableArray(np.int64)
    array.append(np.arange(300))
    assert array.view().shape == (300,)
    assert array.view().dtype == np.int64


def test_a_view_taken_earlier_keeps_its_rows_when_the_array_grows() -> None:
    array: GrowableArray[np.int64] = GrowableArray(np.int64, capacity=4)
    array.append(np.arange(4))
    before = array.view()
    array.append(np.full(100, -1))
    np.testing.assert_array_equal(before, np.arange(4))


def test_a_view_of_an_earlier_size_leaves_later_rows_out() -> None:
    array: GrowableArray[np.int64] = GrowableArray(np.int64)
    array.append(np.arange(10))
    np.testing.assert_array_equal(array.view(3), [0, 1, 2])


def test_writing_to_a_view_writes_to_the_array() -> None:
    array: GrowableArray[np.int64] = GrowableArray(np.int64)
    array.append(np.zeros(4, dtype=np.int64))
    array.view()[2] = 7
    np.testing.assert_array_equal(array.view(), [0, 0, 7, 0])


def test_one_append_may_exceed_twice_the_capacity() -> None:
    array: GrowableArray[np.int64] = GrowableArray(np.int64, capacity=1)
    array.append(np.arange(1000))
    np.testing.assert_array_equal(array.view(), np.arange(1000))
