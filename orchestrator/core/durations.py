"""Durations that read aloud in a saga definition."""

from datetime import timedelta


def millis(count: float) -> timedelta:
    return timedelta(milliseconds=count)


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


def hours(count: float) -> timedelta:
    return timedelta(hours=count)
