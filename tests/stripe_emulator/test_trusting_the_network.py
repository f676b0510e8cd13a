"""Is a request that is sent twice, cut off or refused done once at most?"""

import threading

import pytest
import stripe

from .fixtures import Handle

ONE = {"idempotency_key": "7:customer"}


def test_the_same_key_answers_with_the_same_object(stripe_emulator: Handle) -> None:
    customers = stripe_emulator.client.v1.customers

    first = customers.create({"email": "a@example.test"}, ONE)
    second = customers.create({"email": "a@example.test"}, ONE)

    assert second.id == first.id
    assert len(customers.list().data) == 1
    assert second.last_response.headers["Idempotent-Replayed"] == "true"


def test_a_key_belongs_to_its_parameters(stripe_emulator: Handle) -> None:
    customers = stripe_emulator.client.v1.customers
    customers.create({"email": "a@example.test"}, ONE)

    with pytest.raises(stripe.IdempotencyError) as refused:
        customers.create({"email": "b@example.test"}, ONE)

    assert refused.value.http_status == 400


def test_a_key_is_forgotten_after_a_day(stripe_emulator: Handle) -> None:
    customers = stripe_emulator.client.v1.customers
    customers.create({"email": "a@example.test"}, ONE)

    stripe_emulator.advance(seconds=86_400)
    customers.create({"email": "a@example.test"}, ONE)

    assert len(customers.list().data) == 2


def test_parameters_that_are_refused_leave_their_key_free(stripe_emulator: Handle) -> None:
    customers = stripe_emulator.client.v1.customers
    with pytest.raises(stripe.InvalidRequestError):
        customers.create({"mail": "a@example.test"}, ONE)  # type: ignore[typeddict-unknown-key]

    assert customers.create({"email": "a@example.test"}, ONE).id


def test_a_refusal_by_an_object_is_replayed_too(stripe_emulator: Handle) -> None:
    v1 = stripe_emulator.client.v1
    with pytest.raises(stripe.InvalidRequestError):
        v1.prices.create({"currency": "usd", "product": "late", "unit_amount": 1}, ONE)
    v1.products.create({"id": "late", "name": "Late"})

    with pytest.raises(stripe.InvalidRequestError, match="No such product"):
        v1.prices.create({"currency": "usd", "product": "late", "unit_amount": 1}, ONE)


def test_a_key_in_flight_is_a_conflict(stripe_emulator: Handle) -> None:
    customers = stripe_emulator.client.v1.customers
    stripe_emulator.fault("hold_after", path="/v1/customers")
    slow = threading.Thread(target=customers.create, args=({"email": "a@example.test"}, ONE))
    slow.start()
    while not stripe_emulator.world.where("customer"):
        threading.Event().wait(0.01)

    with pytest.raises(stripe.APIError) as refused:
        customers.create({"email": "a@example.test"}, ONE)
    stripe_emulator.release()
    slow.join()

    assert refused.value.http_status == 409
    assert len(customers.list().data) == 1


@pytest.mark.parametrize(
    ("fault", "error", "done"),
    [
        ("429", stripe.RateLimitError, 0),
        ("500", stripe.APIError, 0),
        ("500_after", stripe.APIError, 1),
        ("timeout_before", stripe.APIConnectionError, 0),
        ("timeout_after", stripe.APIConnectionError, 1),
    ],
)
def test_a_fault_is_before_or_after_the_deed(
    stripe_emulator: Handle, fault: str, error: type[Exception], done: int
) -> None:
    customers = stripe_emulator.client.v1.customers
    stripe_emulator.fault(fault, method="POST")

    with pytest.raises(error):
        customers.create({"email": "a@example.test"}, ONE)
    assert len(customers.list().data) == done

    customers.create({"email": "a@example.test"}, ONE)
    assert len(customers.list().data) == 1


def test_retries_of_the_library_reach_their_end(stripe_emulator: Handle) -> None:
    stripe_emulator.fault("timeout_after", times=1)
    stripe_emulator.fault("500", times=1)

    stripe_emulator.client_with(retries=3).v1.customers.create({"email": "a@example.test"})

    assert [one["status"] for one in stripe_emulator.requests("/v1/customers")] == [0, 500, 200]
    assert len(stripe_emulator.client.v1.customers.list().data) == 1


def test_pages_of_a_list_lose_nothing(stripe_emulator: Handle) -> None:
    customers = stripe_emulator.client.v1.customers
    made = [customers.create({"email": f"{number}@example.test"}).id for number in range(7)]

    seen = [one.id for one in customers.list({"limit": 3}).auto_paging_iter()]

    assert seen == made[::-1]


def test_what_is_searched_is_found(stripe_emulator: Handle) -> None:
    customers = stripe_emulator.client.v1.customers
    wanted = customers.create({"email": "a@example.test", "metadata": {"tenant_id": "7"}})
    customers.create({"email": "b@example.test", "metadata": {"tenant_id": "8"}})

    found = customers.search({"query": "metadata['tenant_id']:'7' AND email:'a@example.test'"})

    assert [one.id for one in found.data] == [wanted.id]
