"""Seeds that broke a promise once, and what they found. A change of the simulation itself makes other
histories of them; so a bug of ours is kept in `bugs` too, where it can be found again."""

ONCE_FAILED: dict[int, str] = {
    42: "a cancel that has to wait for a pivot in doubt closed the dead letter of its parked saga",
    3897: "an effect of a saga that is parked in its undo is not in its log: the checker asked too much",
    2393: "a toy step refused what it had half done: a step that keeps anything must not say Rejected",
    53433: "a group may fail when it reads, before its transaction: the checker did not count that",
}
