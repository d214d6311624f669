"""Logs of an application: live from the NodeManagers, after its end from the aggregated files on HDFS.

No line is lost, and none is returned twice.
"""

from knit_core.logs.files import LogFile, log_files
from knit_core.logs.lines import Block, LogCursor, LogLine
from knit_core.logs.live.poll import LogWatch
from knit_core.logs.progress_bars import Bars
from knit_core.logs.reader import LogReader
from knit_core.logs.selection import Selection

__all__ = ["Bars", "Block", "LogCursor", "LogFile", "LogLine", "LogReader", "LogWatch", "Selection", "log_files"]
