"""Folders of alert packets as jobs and sources."""

from __future__ import annotations


def alert_jobs(*args, **kwargs):
    raise NotImplementedError
