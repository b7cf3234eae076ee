"""Signs with the PyPI package standardwebhooks: a JSON line in, a signature out.

Each line of stdin is {"secret", "id", "timestamp", "body"}; the packages' folder is the first argument.
"""

import json
import sys
from datetime import datetime, timezone

sys.path.insert(0, sys.argv[1])

from standardwebhooks import Webhook  # noqa: E402

for line in sys.stdin:
    case = json.loads(line)
    at = datetime.fromtimestamp(case["timestamp"], tz=timezone.utc)
    print(Webhook(case["secret"]).sign(case["id"], at, case["body"]), flush=True)
