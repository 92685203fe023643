"""
The simulated Hotbit exchange as a whole: its markets, its users and who may be which user.

Pure: time is passed in, nothing is sent. What one connection has asked for is ``hotbit_session``.
"""

import hashlib
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from wiretape.simulators.hotbit_account import Account, AccountChange
from wiretape.simulators.hotbit_market import MARKETS, Market
from wiretape.simulators.hotbit_wire import Json

#: The texts of ViaBTC's gateway; 11 comes from the service that checks the credentials.
ERROR_TEXTS = MappingProxyType(
    {
        1: "invalid argument",
        2: "internal error",
        3: "service unavailable",
        4: "method not found",
        5: "service timeout",
        6: "require authentication",
        11: "invalid credentials",
    }
)
#: The user behind the API key.
API_USER_ID = 15_731
#: How old the time in a server.sign request may be, either way.
SIGN_TOLERANCE_S = 60
#: How old the time in a server.auth2 request may be, either way.
AUTH2_TOLERANCE_S = 300


class RefusedError(Exception):
    """The exchange answers a request with one of its documented errors."""

    def __init__(self, code: int) -> None:
        """Refuse with a code of `ERROR_TEXTS`."""
        super().__init__(ERROR_TEXTS[code])
        self.code = code


@dataclass(frozen=True, slots=True)
class Step:
    """What one step of the exchange did to its users; the markets are read anew instead."""

    changes: Mapping[int, AccountChange]


class Exchange:
    """Markets, users and planned failures, shared by every connection of a simulator."""

    def __init__(self, *, seed: int, api_key: str, secret_key: str, now_s: float) -> None:
        self.seed = seed
        self.markets = {spec.name: Market(spec, seed, now_s) for spec in MARKETS}
        self._api_key = api_key
        self._secret_key = secret_key
        #: User id to account, in the order in which the users first came.
        self._accounts: dict[int, Account] = {}
        #: Method to the codes that its next requests are refused with.
        self._planned: dict[str, deque[int]] = {}

    def step(self, now_s: float) -> Step:
        """Move every market and every known user on to `now_s`."""
        for market in self.markets.values():
            market.step(now_s)
        return Step({user_id: account.step(now_s) for user_id, account in self._accounts.items()})

    def account(self, user_id: int, now_s: float) -> Account:
        """Return a user's account and open it at the first call."""
        if user_id not in self._accounts:
            markets = tuple(self.markets.values())
            self._accounts[user_id] = Account(user_id, self.seed, markets, now_s)
        return self._accounts[user_id]

    def plan_failure(self, method: str, code: int) -> None:
        """Refuse the next request of a method with a documented code; several calls queue up."""
        if code not in ERROR_TEXTS:
            msg = f"Hotbit has no error {code}. Use one of {', '.join(map(str, ERROR_TEXTS))}."
            raise ValueError(msg)
        self._planned.setdefault(method, deque()).append(code)

    def fail_if_planned(self, method: str) -> None:
        """Raise RefusedError when a failure of this method is planned, and forget that plan."""
        planned = self._planned.get(method)
        if planned:
            raise RefusedError(planned.popleft())

    def user_of_auth(self, api_key: Json, sign: Json) -> int:
        """Check a server.auth: the sign is an MD5 over both keys, with no time in it."""
        if api_key != self._api_key or sign != self.auth_sign():
            raise RefusedError(11)
        return API_USER_ID

    def user_of_auth2(self, user_id: int, time_s: int, sign: Json, now_s: float) -> int:
        """Check a server.auth2 of the exchange's own web page, good for five minutes."""
        if abs(now_s - time_s) > AUTH2_TOLERANCE_S or sign != self.auth2_sign(user_id, time_s):
            raise RefusedError(11)
        return user_id

    def user_of_sign(self, access_id: Json, authorization: Json, tonce_ms: int, now_s: float) -> int:
        """Check a server.sign, good for a minute."""
        fresh = abs(now_s - tonce_ms / 1000) <= SIGN_TOLERANCE_S
        if not fresh or access_id != self._api_key or authorization != self.sign_authorization(tonce_ms):
            raise RefusedError(11)
        return API_USER_ID

    def auth_sign(self) -> str:
        """Return the only sign that server.auth accepts."""
        return _digest(f"api_key={self._api_key}&secret_key={self._secret_key}")

    def auth2_sign(self, user_id: int, time_s: int) -> str:
        """
        Return the sign that server.auth2 accepts for a user and a time.

        The real one is made by the exchange's web site in a way nobody published; this rule is the
        simulator's own.
        """
        return _digest(f"uid={user_id}&time={time_s}&secret_key={self._secret_key}")

    def sign_authorization(self, tonce_ms: int) -> str:
        """Return the authorization that server.sign accepts for a time; the rule is our own."""
        return _digest(f"access_id={self._api_key}&tonce={tonce_ms}&secret_key={self._secret_key}")


def _digest(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest().upper()
