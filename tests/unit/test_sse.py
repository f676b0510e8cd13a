"""Where an event begins and ends, and what it carries."""

import pytest

from cache_api.dialects import sse


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
