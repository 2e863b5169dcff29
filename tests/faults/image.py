"""`make imagefaults`: the table of faults, with the operator of the image, so on the image's Python."""

import sys

from faults.__main__ import main
from testbed import operatorimage
from testbed.imageroot import ImageRoot
from testbed.operatorprocess import Operator
from testbed.process import remove_directory, temporary_directory

if __name__ == "__main__":
    folder = temporary_directory("image")
    folder.chmod(0o755)
    try:
        with operatorimage.served() as served:
            image = ImageRoot(served, folder)
        version = image.run("python", "-c", "import platform; print(platform.python_version())").stdout
        print(f"The operator runs on Python {version}", file=sys.stderr)
        Operator.program = image.program()
        status = main(in_pod=False)
    finally:
        remove_directory(folder)
    sys.exit(status)
