"""Make a tenant, its owner and a first project."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from tenants import projects, services
from tenants.models import User


class Command(BaseCommand):
    help = "Make a tenant with a first project, and print their ids."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--name", required=True, help="what people call the team")
        parser.add_argument("--email", help="its owner, who is created if not known")
        parser.add_argument("--plan", default=services.Limits().plan)
        parser.add_argument("--project", default="Default", help="name of its first project")

    def handle(self, *args: Any, **options: Any) -> None:
        limits = services.Limits(plan=options["plan"])
        tenant_id = services.tenant_create(name=options["name"], limits=limits)
        project_id = projects.project_create(tenant_id=tenant_id, name=options["project"])
        if options["email"]:
            user = User.objects.filter(email=options["email"]).first() or services.user_create(email=options["email"])
            services.member_add(tenant_id=tenant_id, user_id=user.id, role="owner")
        self.stdout.write(f"tenant {tenant_id}\nproject {project_id}")
