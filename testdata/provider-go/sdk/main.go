// A real provider on terraform-plugin-sdk v2, which speaks plugin protocol 5. Its one resource is kept in the state only.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/hashicorp/terraform-plugin-sdk/v2/diag"
	"github.com/hashicorp/terraform-plugin-sdk/v2/helper/schema"
	"github.com/hashicorp/terraform-plugin-sdk/v2/plugin"
)

// Set by the linker.
var version = "dev"

func main() {
	if len(os.Args) > 1 && os.Args[1] == "--version" {
		fmt.Println("terraform-provider-sample v" + version)
		return
	}
	plugin.Serve(&plugin.ServeOpts{ProviderAddr: "registry.example.com/acme/sample", ProviderFunc: sample})
}

func sample() *schema.Provider {
	return &schema.Provider{ResourcesMap: map[string]*schema.Resource{"sample_note": note()}}
}

func note() *schema.Resource {
	nothing := func(context.Context, *schema.ResourceData, any) diag.Diagnostics { return nil }
	return &schema.Resource{
		CreateContext: func(_ context.Context, data *schema.ResourceData, _ any) diag.Diagnostics {
			data.SetId("note")
			return diag.FromErr(data.Set("served", "protocol 5, v"+version))
		},
		ReadContext:   nothing,
		UpdateContext: nothing,
		DeleteContext: nothing,
		Schema: map[string]*schema.Schema{
			"text":   {Type: schema.TypeString, Required: true},
			"served": {Type: schema.TypeString, Computed: true},
		},
	}
}
