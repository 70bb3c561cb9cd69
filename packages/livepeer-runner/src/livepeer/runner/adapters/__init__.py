"""Units of other frameworks, run as a `Pipeline` without editing them.

Each module knows one framework, needs the extra of its name (`livepeer-runner[cog]`), and has one
function:

```python
from livepeer.runner import serve
from livepeer.runner.adapters.cog import adapt

from predict import Predictor

serve(adapt(Predictor))
```
"""
