"""Are ids what RFC 9562 says, and in the order of what they stand for?"""

from datetime import UTC, datetime, timedelta

from cache_api.domain.call import new_id, numbered_id, time_of

NOW = datetime(2026, 3, 1, 12, 0, 0, 123_000, tzinfo=UTC)
NUMBERS = [0, 1, 2, 1 << 17, (1 << 18) - 1, 1 << 18, (1 << 18) + 1, 1 << 29, (1 << 30) - 1]


def test_they_are_uuids_of_version_7_and_tell_their_time() -> None:
    for made in (new_id(NOW), *(numbered_id(NOW, number) for number in NUMBERS)):
        assert (made.version, made.variant) == (7, "specified in RFC 4122")
        assert time_of(made) == NOW


def test_numbered_ones_of_one_time_are_in_the_order_of_their_numbers() -> None:
    made = [numbered_id(NOW, number) for number in NUMBERS]
    assert sorted(made) == made
    assert made[-1] < new_id(NOW + timedelta(milliseconds=1))


def test_two_of_one_time_and_number_differ() -> None:
    assert len({numbered_id(NOW, 7) for _ in range(1_000)}) == 1_000
