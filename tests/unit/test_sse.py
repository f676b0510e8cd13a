"""Where an event begins and ends, and what it carries."""

import pytest

from cache_api.dialects import sse


@pytest.mark.parametrize(
    ("rest", "last"),
    [
        (b"", b""),
        (b"data: {}", b"data: {}\n\n"),
        (b"data: {}\n", b"data: {}\n\n\n"),
        (b"data: {}\r\r", b"data: {}\r\r"),
        (b"event: ping\ndata: {}", b"event: ping\ndata: {}\n\n"),
        (b"data: [DONE]", b"data: [DONE]\n\n"),
        (b"data: [DO", b""),
        (b'data: {"a": "b', b""),
        (b"event: ping\ndata: ", b""),
        (b": a comm", b""),
    ],
)
def test_at_the_end_half_an_event_is_left_out(rest: bytes, last: bytes) -> None:
    events = sse.Events()
    assert events.take(b"data: 1\n\n" + rest)[0] == b"data: 1\n\n"

    assert events.last() == last
    assert events.last() == b""


@pytest.mark.parametrize(
    ("event", "payload", "spaced"),
    [
        (b"data: {}\n\n", b"{}", None),
        (b"data:{}\n\n", b"{}", b"data: {}\n\n"),
        (b"event: ping\ndata: {}\n\n", b"{}", None),
        (b"event:ping\ndata:{}\n\n", b"{}", b"event:ping\ndata: {}\n\n"),
        (b"event: ping\r\ndata: {}\r\n\r\n", b"{}", None),
        (b"event: ping\rdata: {}\r\r", b"{}", None),
        (b"event: ping\nid: 7\ndata: {}\n\n", b"{}", None),
        (b"data: {}\nevent: ping\n\n", b"{}", None),
        (b"event: ping\ndata: {\ndata: }\n\n", b"{\n}", None),
        (b"event: ping\n\n", b"", None),
        (b": data: {}\n\n", b"", None),
    ],
)
def test_an_event_carries_its_data_lines(event: bytes, payload: bytes, spaced: bytes | None) -> None:
    assert sse.payload(event) == payload
    assert sse.spaced(event) == (spaced or event)
