"""Which stocks are kept: those of the settings, and those that sites in the keys file ask for."""

from typing import NamedTuple

from gantcha.drawing.look import DIFFICULTIES, Difficulty
from pool.keys_file import read_keys_file
from pool.models import Stock
from pool.settings import Settings


class KeptStocks(NamedTuple):
    """Stocks that are kept filled."""

    usual: tuple[Stock, ...]
    """stocks handed out without doubt; the service needs all of them"""
    in_doubt: tuple[Stock, ...]
    """stocks handed out in doubt only"""

    @property
    def all(self) -> tuple[Stock, ...]:
        """All stocks, the usual ones first."""
        return self.usual + self.in_doubt


def harder(difficulty: Difficulty) -> Difficulty | None:
    """Return the next harder difficulty; None where nothing is harder."""
    return next(iter(DIFFICULTIES[DIFFICULTIES.index(difficulty) + 1 :]), None)


def kept_stocks(settings: Settings) -> KeptStocks:
    """Choose the stocks, with the keys file as it is now.

    Raises:
        SettingsError: the keys file can't be read or its content is invalid.
    """
    file = read_keys_file(settings.keys_file)
    own = settings.challenge_stock
    of_sites = [own._replace(difficulty=site.difficulty) for site in file.sites.values() if site.difficulty]
    challenges, generated = [own, *of_sites], [settings.stock] if settings.generate else []
    usual = tuple(dict.fromkeys([*generated, *challenges]))
    levels = [harder(stock.difficulty) for stock in challenges] if settings.doubt else []
    in_doubt = dict.fromkeys(own._replace(difficulty=level) for level in levels if level)
    return KeptStocks(usual, tuple(stock for stock in in_doubt if stock not in usual))
