"""Counts how much each API key uses of a shared resource, such as the time or memory of a worker."""

NO_KEY = ""  # the name for all requests without a key


class Shares:
    """Amounts by name of API key. total: their sum."""

    def __init__(self) -> None:
        self._of: dict[str, float] = {}
        self.total = 0.0

    def add(self, key: str, amount: float) -> None:
        self._of[key] = self._of.get(key, 0.0) + amount
        if self._of[key] <= 0:
            del self._of[key]
        self.total = sum(self._of.values())

    def at_least_average(self, key: str) -> bool:
        """Return whether a key has at least the average amount of all keys with an amount above 0.

        >>> shares = Shares()
        >>> shares.add("shop", 90), shares.add("mail", 10)
        (None, None)
        >>> shares.at_least_average("shop"), shares.at_least_average("mail")
        (True, False)
        """
        return self._of.get(key, 0.0) * len(self._of) >= self.total
