"""Differential fuzzing: random datapaths through every rendering, each difference shrunk to a small file that replays.

    python -m sim.fuzz --count 200 --seed 1
    python -m sim.fuzz --replay build/fuzz/failures/graph-17.json
"""
