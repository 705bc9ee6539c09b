"""Say how a stage is started, when one is run as a file.

``python stages/ingest.py`` puts this folder first on the import path. Then ``stages`` is this file,
and the standard library's ``tokenize`` is a stage. So no stage gets further than its imports.
"""

import os
import shlex
import sys

file = os.path.basename(sys.argv[0])
module = f"stages.{file.removesuffix('.py')}"
sys.exit(
    f"error[started-as-file]: stages/{file}: cannot be run as a file; "
    f"run {shlex.join(['python', '-m', module, *sys.argv[1:]])} in the top folder"
)
