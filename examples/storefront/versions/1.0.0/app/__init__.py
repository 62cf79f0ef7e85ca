"""The storefront: a small shop. app.main makes the application, app.release says what this release is."""
