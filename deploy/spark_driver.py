"""The main file of a Spark application that runs a command, whose processes use the Spark of the application:

`spark-submit deploy/spark_driver.py dvc repro`
"""

import subprocess
import sys

if __name__ == "__main__":
    sys.exit(subprocess.run(sys.argv[1:], check=False).returncode)
