from dataclasses import dataclass, field


class ServicesError(Exception):
    """Postgres or RabbitMQ cannot be had."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.__doc__)


class NoServices(ServicesError):
    """There is no Postgres or no RabbitMQ to use here, and none can be made."""


class ServiceSilent(ServicesError):
    """A service that was given by its URL does not answer."""


class ServerFailed(ServicesError):
    """A private server did not start, or ended while it was needed."""


class DirectoryInUse(ServicesError):
    """Another running system uses this data directory."""


class DirectoryUnreachable(ServicesError):
    """The account that a private server runs as cannot enter its data directory."""


class ImageMissing(ServicesError):
    """Docker has no such image and cannot pull it."""


class InstallationFailed(ServicesError):
    """The distribution's packages could not be installed."""


@dataclass(frozen=True, slots=True)
class WaysOut:
    """The message of `NoServices`: what was tried, and what a person can do about it."""

    service: str
    url_setting: str
    tried: tuple[str, ...] = field(default=())

    def __str__(self) -> str:
        tried = "".join(f"\n  tried: {line}" for line in self.tried)
        return (
            f"There is no {self.service} to use here.{tried}\n"
            f"Ways out, any one of them:\n"
            f"  - set {self.url_setting} to the URL of a running {self.service}\n"
            f"  - start Docker, so that a container can be used\n"
            f"  - install {self.service} on this machine (a private instance of it will be used)\n"
            f"  - run as root on Debian or Ubuntu, so that the distribution's packages can be installed"
        )
