"""The two checks, against a plain reading of what they promise."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from apps.domain.limits import credit
from apps.domain.limits.credit import Keep, Room, Wish

amounts = st.integers(0, 1_000)


def call_costs(draw) -> tuple[int, int]:
    most = draw(amounts)
    return draw(st.integers(0, most)), most


calls = st.composite(call_costs)()


@given(granted=amounts, lent=amounts, spent=amounts, running=st.lists(calls, max_size=6), call=calls)
def test_a_call_lacks_nothing_exactly_when_both_checks_let_it_pass(granted, lent, spent, running, call):
    expected, most = call
    reserved = sum(worst for _, worst in running)
    likely = sum(cost for cost, _ in running)
    need, may_be_lent = credit.lacking(
        granted=granted, credit=lent, keep=Keep(spent + likely, spent + reserved), expected=expected, most=most
    )
    passes = spent + likely + expected <= granted and spent + reserved + most <= granted + lent
    assert (need == 0) == passes
    assert 0 <= may_be_lent <= need
    granted, lent = granted + need - may_be_lent, lent + may_be_lent
    assert spent + likely + expected <= granted
    assert spent + reserved + most <= granted + lent


@given(amount=amounts, overdraft=amounts, settled=amounts, held=amounts, lent=amounts)
def test_room_is_within_the_amount_and_with_the_overdraft_within_both(amount, overdraft, settled, held, lent):
    left = credit.room(amount=amount, overdraft=overdraft, settled=settled, held=held, credit=lent)
    assert min(left) >= 0
    assert left.amount == 0 or settled + held + left.amount <= amount
    assert left.credit == 0 or lent + left.credit <= overdraft
    assert sum(left) == 0 or settled + held + lent + sum(left) <= amount + overdraft


@given(data=st.data(), left=st.builds(Room, amounts, amounts), replicas=st.sampled_from([None, 1, 2, 5]))
def test_a_share_is_enough_or_nothing_and_never_more_than_there_is(data, left, replicas):
    need = data.draw(amounts)
    unit = data.draw(amounts)
    wish = Wish(
        need,
        data.draw(st.integers(0, need)),
        need + data.draw(amounts),
        unit,
        data.draw(st.integers(0, unit)),
    )
    got = credit.share_out(wish, left, replicas=replicas)
    assert 0 <= got.amount <= left.amount
    assert 0 <= got.credit <= left.credit
    is_enough = sum(got) >= wish.need and got.amount >= wish.need - wish.credit
    could_be = wish.need - min(wish.credit, left.credit) <= left.amount
    assert is_enough == could_be
    assert replicas is None or is_enough or got == (0, 0)


def test_without_an_overdraft_a_share_is_whole_calls():
    assert credit.share_out(Wish(7, 0, 7, 7, 0), Room(1_000, 0), replicas=2) == (21, 0)
    assert credit.share_out(Wish(7, 0, 70, 7, 0), Room(1_000, 0), replicas=2) == (70, 0)
    assert credit.share_out(Wish(7, 0, 70, 7, 0), Room(20, 0), replicas=2) == (14, 0)


def test_with_an_overdraft_a_call_takes_of_the_amount_what_it_is_expected_to_cost():
    assert credit.share_out(Wish(100, 98, 100, 100, 98), Room(50, 300), replicas=3) == (2, 98)
    assert credit.share_out(Wish(100, 98, 1_000, 100, 98), Room(50, 900), replicas=3) == (20, 300)
    assert credit.share_out(Wish(100, 98, 100, 100, 98), Room(50, 60), replicas=3) == (40, 60)
    assert credit.share_out(Wish(100, 98, 100, 100, 98), Room(50, 40), replicas=3) == (0, 0)


@given(granted=amounts, lent=amounts, keep=st.builds(lambda low, more: Keep(low, low + more), amounts, amounts))
def test_what_is_kept_of_a_lease_still_serves_all_that_is_promised_and_no_less_would(granted, lent, keep):
    left = credit.kept(granted=granted, credit=lent, keep=keep)
    assert left.amount <= granted
    assert left.credit <= lent
    assert left.amount >= min(granted, keep.expected)
    assert sum(left) >= min(granted + lent, keep.most)
    assert credit.kept(granted=left.amount, credit=left.credit, keep=keep) == left
    if granted >= keep.expected and granted + lent >= keep.most:
        assert sum(left) == keep.most
