"""What runs on a Ray cluster tell their study. Apart from ray_cluster.py so that its process loads no torch."""

from __future__ import annotations

from harness.engine.event import Event


class Mailbox:
    """What runs tell their study, the newest of each kind, and whether the study is stopping. A Ray actor."""

    def __init__(self) -> None:
        self.news: dict[tuple[int, str], Event] = {}
        self.stopping = False

    def post(self, event: Event) -> bool:
        """Leave an event; whether to stop."""
        self.news[event.job, event.kind] = event
        return self.stopping

    def take(self) -> list[Event]:
        news, self.news = list(self.news.values()), {}
        return news

    def stop(self) -> None:
        self.stopping = True
