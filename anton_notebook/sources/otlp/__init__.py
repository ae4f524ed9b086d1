"""OpenTelemetry traces in files: OTLP/JSON lines and documents."""
