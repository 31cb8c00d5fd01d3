"""Sex and age of the people in UvA-NEMO."""

from pathlib import Path

import pandas as pd

from smilefusion.datasets._folder import describe_problem

DETAILS_FILE = "UvA-NEMO_Smile_Database_File_Details.txt"
_SUFFIX = ".mp4"


def read_details(path: Path, names: list[str]) -> tuple[pd.DataFrame, list[str]]:
    """Return the sex and age (years) of the person in each clip, and all problems."""
    lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    rows = [[cell.strip() for cell in line.split("\t")] for line in lines]
    # Headings come first. A row is file, subject, gender, age, type of smile.
    rows = [row for row in rows if row[0].endswith(_SUFFIX)]
    details = {
        row[0].removesuffix(_SUFFIX): (row[2].lower(), int(row[3]))
        for row in rows
        if len(row) >= 4 and row[2] and row[3].isdecimal()
    }
    absent = [name for name in names if name not in details]
    problem = f"{{}} {{have}} no row with sex and age in {path.name}"
    sexes, ages = zip(*(details.get(name, ("", 0)) for name in names), strict=True)
    return pd.DataFrame({"sex": sexes, "age": ages}), [describe_problem(problem, absent)]
