"""All routes of the storefront, as one table."""

from . import catalogue, feedback, members, orders, pages

ROUTES = (
    *pages.ROUTES,
    *catalogue.ROUTES,
    *orders.ROUTES,
    *members.ROUTES,
    *feedback.ROUTES,
)
