"""Studies: published experiments reproduced, and what the library makes of them."""

if __name__ != "zorl.studies":
    raise ImportError("this folder is the package zorl.studies; import that")
