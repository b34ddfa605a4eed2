"""tox's plugin of this project: environments that name one `env_dir` share it, so that torch is installed once.

tox otherwise makes a folder anew for each environment that uses it, because it notes the environment's name there.
A shared folder serves one environment at a time: `tox run`, not `tox run-parallel`.
"""

from __future__ import annotations

from typing import Any

from tox.plugin import impl
from tox.tox_env.api import ToxEnv
from tox.tox_env.info import Info
from tox.tox_env.python.virtual_env.runner import VirtualEnvRunner
from tox.tox_env.register import ToxEnvRegister


class SharedInfo(Info):
    """What tox notes of a folder, without the name of the environment that made it; all the rest must still agree."""

    def compare(self, value: Any, section: str, sub_section: str | None = None):
        if section == ToxEnv.__name__:
            value = {**value, "name": "any"}
        return super().compare(value, section, sub_section)


class SharedRunner(VirtualEnvRunner):
    """A virtual environment in a folder that others use too: `runner = shared`."""

    @staticmethod
    def id() -> str:
        return "shared"

    @property
    def cache(self) -> Info:
        return SharedInfo(self.env_dir)


@impl
def tox_register_tox_env(register: ToxEnvRegister) -> None:
    """Called by tox as it starts."""
    register.add_run_env(SharedRunner)
