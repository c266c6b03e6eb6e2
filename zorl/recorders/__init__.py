"""Recorders: console, JSON lines, TensorBoard, video; consumers of a run's records."""
