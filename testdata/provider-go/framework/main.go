// A real provider on terraform-plugin-framework, which speaks plugin protocol 6. Its one resource is kept in the state only.
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// Set by the linker.
var version = "dev"

func main() {
	if len(os.Args) > 1 && os.Args[1] == "--version" {
		fmt.Println("terraform-provider-sample v" + version)
		return
	}
	options := providerserver.ServeOpts{Address: "registry.example.com/acme/sample", ProtocolVersion: 6}
	if err := providerserver.Serve(context.Background(), func() provider.Provider { return &sample{} }, options); err != nil {
		log.Fatal(err)
	}
}

type sample struct{}

func (*sample) Metadata(_ context.Context, _ provider.MetadataRequest, response *provider.MetadataResponse) {
	response.TypeName = "sample"
	response.Version = version
}

func (*sample) Schema(context.Context, provider.SchemaRequest, *provider.SchemaResponse) {}

func (*sample) Configure(context.Context, provider.ConfigureRequest, *provider.ConfigureResponse) {}

func (*sample) Resources(context.Context) []func() resource.Resource {
	return []func() resource.Resource{func() resource.Resource { return &note{} }}
}

func (*sample) DataSources(context.Context) []func() datasource.DataSource { return nil }

type note struct{}

type noteModel struct {
	Text   types.String `tfsdk:"text"`
	Served types.String `tfsdk:"served"`
}

func (*note) Metadata(_ context.Context, request resource.MetadataRequest, response *resource.MetadataResponse) {
	response.TypeName = request.ProviderTypeName + "_note"
}

func (*note) Schema(_ context.Context, _ resource.SchemaRequest, response *resource.SchemaResponse) {
	response.Schema = schema.Schema{Attributes: map[string]schema.Attribute{
		"text":   schema.StringAttribute{Required: true},
		"served": schema.StringAttribute{Computed: true},
	}}
}

func (*note) Create(ctx context.Context, request resource.CreateRequest, response *resource.CreateResponse) {
	var model noteModel
	response.Diagnostics.Append(request.Plan.Get(ctx, &model)...)
	model.Served = types.StringValue("protocol 6, v" + version)
	response.Diagnostics.Append(response.State.Set(ctx, model)...)
}

func (*note) Read(context.Context, resource.ReadRequest, *resource.ReadResponse) {}

func (*note) Update(ctx context.Context, request resource.UpdateRequest, response *resource.UpdateResponse) {
	var model noteModel
	response.Diagnostics.Append(request.Plan.Get(ctx, &model)...)
	model.Served = types.StringValue("protocol 6, v" + version)
	response.Diagnostics.Append(response.State.Set(ctx, model)...)
}

func (*note) Delete(context.Context, resource.DeleteRequest, *resource.DeleteResponse) {}
