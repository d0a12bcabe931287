"""`manage.py templates --export DIR`, `--import DIR`: templates as files, to be kept and reviewed beside a program."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any, Final

from django.core.management.base import CommandError
from django.db import transaction

from notifications import services
from notifications.management import template_files
from notifications.management.operators import OperatorsCommand, actor, audited, user
from notifications.management.template_files import Unreadable
from notifications.models import Template

NAMED: Final = 10  # versions that the audit names; of more it has the count


class Command(OperatorsCommand):
    help = (
        "Writes the current version of every template into a folder, or makes new versions of what has changed there. "
        "Of a template NAME: NAME/template.json, NAME/CHANNEL.subject.txt, NAME/CHANNEL.message.txt, NAME/CHANNEL.html."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        way = parser.add_mutually_exclusive_group(required=True)
        way.add_argument(
            "--export", type=Path, metavar="DIR", help="write them there; what was there of them is replaced"
        )
        way.add_argument(
            "--import",
            type=Path,
            metavar="DIR",
            dest="folder",
            help="read them from there, all or none; templates that are not there are left alone",
        )
        parser.add_argument("--note", default="Imported.", help="what is new, kept with each version that is made")
        parser.add_argument("--actor", type=actor, help="who is doing this (default: your name on this machine)")

    def handle(self, *args: Any, **options: Any) -> None:
        folder: Path | None = options["folder"]
        try:
            if folder is None:
                self._export(options["export"])
            else:
                self._import(folder, options["note"], options["actor"] or user())
        except OSError as error:
            raise CommandError(f"{error.filename}: {error.strerror}.") from None

    def _export(self, folder: Path) -> None:
        for template in Template.objects.exclude(current=0):
            version = template.versions.get(number=template.current)
            template_files.write(folder, template.name, version.bodies, version.example, template.description)
            self.stdout.write(str(version))

    def _import(self, folder: Path, note: str, who: str) -> None:
        try:
            folders = [each for each in sorted(folder.iterdir()) if each.is_dir() and not each.name.startswith(".")]
            read = [template_files.read(each) for each in folders]
        except Unreadable as error:
            raise CommandError(f"{error} Nothing was imported.") from None
        with transaction.atomic():
            found = [self._kept(each, note, who) for each in read]
            if made := [version for version, changed in found if changed]:
                few = ", ".join(made[:NAMED]) + (" …" if len(made) > NAMED else "")
                audited(services.Noted.WRITE_VERSION, who, few, touched=len(made), detail=note)
        told = [version if changed else f"{version} (unchanged)" for version, changed in found]
        for line in told:
            self.stdout.write(line)

    def _kept(self, read: template_files.Read, note: str, who: str) -> tuple[str, bool]:
        """Its current version from now on, and whether that was made."""
        template, _ = Template.objects.get_or_create(name=read.name, defaults={"description": read.description})
        if template.description != read.description:
            Template.objects.filter(pk=template.pk).update(description=read.description)
            audited(services.Noted.CHANGE_TEMPLATE, who, read.name, detail="description")
        current = template.versions.filter(number=template.current).first()
        if current and (current.bodies, current.example) == (services.normal_bodies(read.bodies), read.example):
            return str(current), False
        try:
            made = services.add_template_version(
                template, read.bodies, example=read.example, note=note, created_by="manage.py templates"
            )
        except services.Refused as error:
            mended = "; ".join(f"{problem.field} {problem.detail}" for problem in error.problems)
            raise CommandError(f"{read.name}: {mended}. Nothing was imported.") from None
        return str(made), True
