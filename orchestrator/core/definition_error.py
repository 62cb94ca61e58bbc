class BadSaga(ValueError):
    """The saga definition contradicts itself; it is refused when it is imported."""
