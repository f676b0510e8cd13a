// The reference, drawn from the server's own document; no validator elsewhere is asked about it.
SwaggerUIBundle({
  url: "/v1/schema",
  dom_id: "#reference",
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  validatorUrl: null,
});
