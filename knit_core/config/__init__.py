"""Addresses of the cluster and settings for calls to it; every value has its source.

Order: arguments > `KNIT_*` variables > config file > Hadoop XML > the ResourceManager's configuration (`GET /conf`)
> a running embedded cluster (only when no other place names a ResourceManager). No other part of Knit reads settings from
`os.environ` or `*-site.xml`.
"""

from knit_core.config.hadoop_conf import HadoopConf
from knit_core.config.load import load_config
from knit_core.config.settings import SETTINGS, Config, Value

__all__ = ["SETTINGS", "Config", "HadoopConf", "Value", "load_config"]
