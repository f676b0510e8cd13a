from django.apps import AppConfig


class CacheApiConfig(AppConfig):
    name = "cache_api"
    default_auto_field = "django.db.models.BigAutoField"
