"""Which pages do operators have, and under which policy?"""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from csp.constants import SELF, UNSAFE_EVAL, UNSAFE_INLINE
from csp.decorators import csp_update
from django.contrib.admin import display
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from unfold.admin import ModelAdmin
from unfold.sites import UnfoldAdminSite

from billing.admin import views
from billing.admin.across import reading_lists, tenants_found
from billing.admin.entrance import may_enter, way_in
from tenants.models import Tenant

NAME = "operator"


class OperatorSite(UnfoldAdminSite):  # type: ignore[misc]  # untyped
    site_url = "/"

    def has_permission(self, request: HttpRequest) -> bool:
        return may_enter(request)

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return way_in(request, reverse(f"{NAME}:index"))

    def admin_view(self, view: Callable[..., HttpResponseBase], cacheable: bool = False) -> Callable[..., Any]:
        """Its Alpine evaluates what attributes say, and its colours are a style of the page: for these pages alone."""
        relaxed = csp_update({"script-src": [SELF, UNSAFE_EVAL], "style-src": [SELF, UNSAFE_INLINE]})
        return relaxed(super().admin_view(view, cacheable))

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        return views.attention(request, self.each_context(request))  # type: ignore[return-value]

    def get_urls(self) -> list[URLPattern]:
        ours = [
            path("tenant/<uuid:tenant_id>", self.admin_view(self._tenant), name="tenant"),
            path("tenant/<uuid:tenant_id>/preview/<str:plan>", self.admin_view(self._preview), name="preview"),
            path("tenant/<uuid:tenant_id>/<str:name>", self.admin_view(views.act), name="act"),
        ]
        return [*ours, *super().get_urls()]

    def _tenant(self, request: HttpRequest, tenant_id: UUID) -> HttpResponseBase:
        return views.tenant(request, self.each_context(request), tenant_id)

    def _preview(self, request: HttpRequest, tenant_id: UUID, plan: str) -> HttpResponseBase:
        return views.preview(request, self.each_context(request), tenant_id, plan)


class TenantAdmin(ModelAdmin):  # type: ignore[misc]  # likewise
    """The list, to find a tenant in; what can be done to one is on its own page."""

    list_display = ("link", "plan", "created_at", "suspended_at")
    list_display_links = None
    list_filter = ("plan",)
    ordering = ("-created_at",)
    search_fields = ("name",)
    search_help_text = "Name, member's mail, a key or its first characters, an id of Stripe's"
    show_full_result_count = False
    actions = None

    @display(description="Name")
    def link(self, tenant: Tenant) -> str:
        href = reverse(f"{NAME}:tenant", args=[tenant.id])
        return format_html('<a class="text-link" href="{}">{}</a>', href, tenant.name)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Rendered while rows of all tenants can be read."""
        with reading_lists():
            answer = super().changelist_view(request, extra_context)
            return answer.render() if isinstance(answer, TemplateResponse) else answer

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Tenant], search_term: str
    ) -> tuple[QuerySet[Tenant], bool]:
        if not search_term.strip():
            return queryset, False
        return queryset.filter(id__in=tenants_found(search_term)), False

    def has_module_permission(self, request: HttpRequest) -> bool:
        return True

    def has_view_permission(self, request: HttpRequest, obj: Tenant | None = None) -> bool:
        return True

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Tenant | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Tenant | None = None) -> bool:
        return False


site = OperatorSite(name=NAME)
site.register(Tenant, TenantAdmin)
