"""Where the cluster is and how to speak to it; every value knows where it came from.

Order: arguments > `KNIT_*` variables > config file > Hadoop XML > what the ResourceManager itself says (`GET /conf`)
> a running embedded cluster (only when nothing else names a ResourceManager). The only reader of `os.environ` and
`*-site.xml` in Knit.
"""

from knit_core.config.hadoop_conf import HadoopConf
from knit_core.config.settings import SETTINGS, Config, Value, load_config

__all__ = ["SETTINGS", "Config", "HadoopConf", "Value", "load_config"]
