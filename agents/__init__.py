"""What can be trained, by name: the search agent, the SB3 baselines, their settings."""

if __name__ != "zorl.agents":
    raise ImportError("this folder is the package zorl.agents; import that")
