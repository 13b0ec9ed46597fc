"""Exact statistics of the columns of a table whose rows pass by once, in bounded memory.

    profile = Profile([Spec(INTEGER, PG_INT8), Spec(TEXT, PG_TEXT)], memory=1 << 29, folder=tempfile.gettempdir())
    profile.copy(connection.pgconn)     # what COPY ... TO STDOUT (FORMAT binary) sends
    for stats in profile.finish():
        ...

The C library next to this file does the work, without Python's lock. A profile belongs to one thread; other threads may
use its `rows`, `bytes_read` and `stop` only.
"""

from hdm_profile.across import DAYS as DAYS
from hdm_profile.across import MOST_CELLS as MOST_CELLS
from hdm_profile.across import Cell as Cell
from hdm_profile.across import Newest as Newest
from hdm_profile.across import Pair as Pair
from hdm_profile.across import Plan as Plan
from hdm_profile.failures import FINE as FINE
from hdm_profile.failures import MALFORMED as MALFORMED
from hdm_profile.failures import NO_DISK as NO_DISK
from hdm_profile.failures import NO_MEMORY as NO_MEMORY
from hdm_profile.failures import SERVER_ERROR as SERVER_ERROR
from hdm_profile.failures import STOPPED as STOPPED
from hdm_profile.failures import ProfileError as ProfileError
from hdm_profile.kinds import *  # noqa: F403  # all of them
from hdm_profile.profile import MOST_LEVELS as MOST_LEVELS
from hdm_profile.profile import NEVER as NEVER
from hdm_profile.profile import Kept as Kept
from hdm_profile.profile import Profile as Profile
from hdm_profile.profile import Spec as Spec
from hdm_profile.stats import Stats as Stats
