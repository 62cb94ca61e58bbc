"""The whole system in one process, on virtual time: one seed, one history.

What runs is the production code of both sides: loop, chores, groups, intake and the rules of the
orchestrator's ears; consumers, batches, attempts and the rulings of the step runtime. Simulated are the
broker, the database server (over the stores in memory), the vendors, upstream and the operators; and the
seven steps are toys that keep books a checker can read. Nothing but the seed decides what happens.
"""
