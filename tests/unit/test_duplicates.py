"""Who stands around whom?"""

from uuid import UUID

from cache_api.adapters.catalogue import Vectored
from cache_api.duplicates import MEMBERS_MAX, Around, groups_of


def around(name: str, *near: tuple[float, str]) -> Around:
    made = Around(Vectored(UUID(int=ord(name)), name.encode(), b"scope", "embedder", b""))
    made.add([cosine for cosine, _ in near], [other.encode() for _, other in near], len(near))
    return made


def names(groups: list[dict]) -> list[list[str]]:
    return [[bytes.fromhex(one["fingerprint"]).decode() for one in group["entries"]] for group in groups]


def test_the_most_used_comes_first_and_the_nearest_to_it_next() -> None:
    found = groups_of([around("a", (0.96, "b"), (0.99, "c")), around("d"), around("e", (0.97, "f"))])

    assert names(found) == [["a", "c", "b"], ["e", "f"]]
    assert [one["similarity"] for one in found[0]["entries"]] == [1.0, 0.99, 0.96]


def test_nobody_is_in_two_groups() -> None:
    found = groups_of([around("a", (0.96, "b")), around("b", (0.96, "a"), (0.96, "c")), around("c", (0.96, "b"))])

    assert names(found) == [["a", "b"]]


def test_a_chain_of_small_steps_makes_no_large_group() -> None:
    found = groups_of(
        [around("a", (0.96, "b")), around("c", (0.96, "b"), (0.96, "d")), around("d", (0.96, "c"), (0.96, "e"))]
    )

    assert names(found) == [["a", "b"], ["c", "d"]]


def test_of_very_many_the_nearest_are_named_and_the_rest_counted() -> None:
    crowd = [(0.95 + number / 10_000, chr(200 + number)) for number in range(MEMBERS_MAX + 5)]
    (group,) = groups_of([around("a", *crowd)])

    assert len(group["entries"]) == MEMBERS_MAX + 1
    assert group["more"] == 5
    assert group["entries"][1]["similarity"] == round(crowd[-1][0], 4)
